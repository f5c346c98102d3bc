#include "impl/config.h"
#include "impl/config_parts.h"
#include "impl/json.h"

namespace plumbline::native {

GenerationDefaults load_generation_config(const std::filesystem::path& directory, const ModelConfig& config) {
  GenerationDefaults defaults;
  defaults.top_k = 50;  // what transformers' generate() takes where the file says nothing
  const std::filesystem::path path = directory / "generation_config.json";
  if (!std::filesystem::exists(path)) {
    defaults.bos_token_id = config.bos_token_id;
    defaults.pad_token_id = config.pad_token_id;
    defaults.eos_token_ids = config.eos_token_ids;
    return defaults;
  }
  const nlohmann::json object = parse_json_object(read_text_file(path), path.string());
  const JsonFields fields(object, path.string());
  defaults.do_sample = fields.boolean("do_sample", false);
  defaults.temperature = fields.number("temperature", 1.0);
  defaults.top_k = fields.integer("top_k", defaults.top_k, 0, kMaxTokenId);
  defaults.top_p = fields.number("top_p", 1.0);
  defaults.min_p = fields.number("min_p", 0.0);
  defaults.repetition_penalty = fields.number("repetition_penalty", 1.0);
  defaults.bos_token_id = fields.optional_integer("bos_token_id", 0, kMaxTokenId);
  defaults.pad_token_id = fields.optional_integer("pad_token_id", -1, kMaxTokenId);
  defaults.eos_token_ids = fields.integers("eos_token_id", 0, kMaxTokenId);
  defaults.max_new_tokens = fields.optional_integer("max_new_tokens", 1, kMaxLength);
  defaults.max_length = fields.optional_integer("max_length", 1, kMaxLength);
  return defaults;
}

}  // namespace plumbline::native
