#include "phases/support/made_checkpoint.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "harness/output_file.h"

namespace plumbline::phases {
namespace {

namespace fs = std::filesystem;

nlohmann::ordered_json config_of(const ModelShape& shape, std::int64_t max_position_embeddings,
                                 std::string_view torch_dtype) {
  nlohmann::ordered_json config{{"architectures", {"Qwen2ForCausalLM"}},
                                {"model_type", "qwen2"},
                                {"hidden_act", "silu"},
                                {"hidden_size", shape.hidden},
                                {"intermediate_size", shape.intermediate},
                                {"num_hidden_layers", shape.layers},
                                {"num_attention_heads", shape.heads},
                                {"num_key_value_heads", shape.kv_heads},
                                {"head_dim", shape.head_dim},
                                {"vocab_size", shape.vocab},
                                {"max_position_embeddings", max_position_embeddings},
                                {"rms_norm_eps", 1e-6},
                                {"rope_theta", 10000.0},
                                {"tie_word_embeddings", shape.tied},
                                {"use_sliding_window", shape.window > 0},
                                {"torch_dtype", torch_dtype}};
  if (shape.window > 0) {
    config["sliding_window"] = shape.window;
    config["max_window_layers"] = 1;
  }
  return config;
}

}  // namespace

MadeCheckpoint::MadeCheckpoint(std::string_view purpose) {
  std::string pattern = (fs::temp_directory_path() / fmt::format("plumbline-{}-XXXXXX", purpose)).string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw Error(std::string("cannot be made: ") + std::strerror(errno), pattern,
                "set TMPDIR to a folder that can be written");
  }
  directory_ = pattern;
}

void MadeCheckpoint::write(const ModelShape& shape, std::int64_t max_position_embeddings,
                           std::string_view torch_dtype, std::span<const NamedView> tensors) const {
  write_tensor_file(directory_ / "model.safetensors", {{"format", "pt"}}, {tensors.begin(), tensors.end()});
  OutputFile config(directory_ / "config.json");
  config.write(config_of(shape, max_position_embeddings, torch_dtype).dump(1));
  config.keep();
}

void MadeCheckpoint::remove() const {
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

}  // namespace plumbline::phases
