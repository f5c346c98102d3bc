#include <filesystem>

#include "reference/config.h"
#include "reference/internal/json_fields.h"

namespace plumbline::reference {
namespace {

constexpr std::int64_t kLargest = (std::int64_t{1} << 31) - 1;

// transformers' generate() takes a top_k of 50 where neither file nor caller says otherwise.
constexpr std::int64_t kDefaultTopK = 50;

GenerationDefaults without_file(const ModelConfig& config) {
  GenerationDefaults defaults;
  defaults.top_k = kDefaultTopK;
  defaults.bos_token_id = config.bos_token_id;
  defaults.pad_token_id = config.pad_token_id;
  defaults.eos_token_ids = config.eos_token_ids;
  return defaults;
}

}  // namespace

GenerationDefaults load_generation_config(const std::filesystem::path& directory, const ModelConfig& config) {
  const std::filesystem::path path = directory / "generation_config.json";
  if (!std::filesystem::exists(path)) return without_file(config);
  const nlohmann::json object = parse_json_object(read_text_file(path), path.string());
  const JsonFields json(object, path.string());

  GenerationDefaults defaults;
  defaults.do_sample = json.has("do_sample") && json.boolean("do_sample", false);
  defaults.temperature = json.optional_number("temperature", 0.0, 1e30).value_or(1.0);
  defaults.top_k = json.optional_integer("top_k", 0, kLargest).value_or(kDefaultTopK);
  defaults.top_p = json.optional_number("top_p", 0.0, 1.0).value_or(1.0);
  defaults.min_p = json.optional_number("min_p", 0.0, 1.0).value_or(0.0);
  defaults.repetition_penalty = json.optional_number("repetition_penalty", 1e-30, 1e30).value_or(1.0);
  defaults.bos_token_id = json.optional_integer("bos_token_id", 0, kLargest);
  defaults.pad_token_id = json.optional_integer("pad_token_id", -1, kLargest);
  defaults.eos_token_ids = json.integers("eos_token_id", 0, kLargest);
  defaults.max_new_tokens = json.optional_integer("max_new_tokens", 0, kLargest);
  defaults.max_length = json.optional_integer("max_length", 0, kLargest);
  return defaults;
}

}  // namespace plumbline::reference
