#include "phases/support/integer_model.h"

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "harness/exact_inputs.h"
#include "harness/output_file.h"
#include "harness/tensor_file.h"

namespace plumbline::phases {
namespace {

namespace fs = std::filesystem;

nlohmann::ordered_json config_of(const IntegerShape& shape) {
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
                                {"max_position_embeddings", 1024},
                                {"rms_norm_eps", 1e-6},
                                {"rope_theta", 10000.0},
                                {"tie_word_embeddings", shape.tied},
                                {"use_sliding_window", shape.window > 0},
                                {"torch_dtype", "bfloat16"}};
  if (shape.window > 0) {
    config["sliding_window"] = shape.window;
    config["max_window_layers"] = 1;
  }
  return config;
}

// Whole numbers of few bits: the upper half of their f32.
Tensor as_bf16(const std::vector<std::int64_t>& shape, std::span<const std::int8_t> values) {
  Tensor tensor(DType::bf16, Shape(shape));
  const std::span<std::uint16_t> halves = tensor.values<std::uint16_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    halves[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(values[i])) >> 16);
  }
  return tensor;
}

}  // namespace

std::string IntegerShape::to_string() const {
  return fmt::format("hidden {}, intermediate {}, vocabulary {}, {} of {} heads of {}", hidden, intermediate,
                     vocab, heads, kv_heads, head_dim);
}

IntegerModel::IntegerModel(const IntegerShape& shape) : shape_(shape) {
  plan();
  std::string pattern = (fs::temp_directory_path() / "plumbline-integers-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw Error(std::string("cannot be made: ") + std::strerror(errno), pattern,
                "set TMPDIR to a folder that can be written");
  }
  directory_ = pattern;
  try {
    write();
  } catch (...) {  // a full disk
    remove_files();
    throw;
  }
}

IntegerModel::~IntegerModel() {
  remove_files();
}

void IntegerModel::remove_files() const {
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

std::span<const std::int8_t> IntegerModel::weight(const std::string& name) const {
  const std::string stored = shape_.tied && name == "lm_head.weight" ? "model.embed_tokens.weight" : name;
  const auto found = tensors_.find(stored);
  return found == tensors_.end() ? std::span<const std::int8_t>{} : found->second.values;
}

void IntegerModel::add(const std::string& name, std::vector<std::int64_t> shape) {
  Stored& made = tensors_[name];
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  made.shape = std::move(shape);
  made.values.reserve(static_cast<std::size_t>(count));
  const std::uint64_t key = integer_key(name);
  for (std::int64_t i = 0; i < count; ++i)
    made.values.push_back(static_cast<std::int8_t>(small_integer(key, i)));
}

void IntegerModel::plan() {
  const std::int64_t query = shape_.heads * shape_.head_dim, key_value = shape_.kv_heads * shape_.head_dim;
  const std::int64_t hidden = shape_.hidden, intermediate = shape_.intermediate;
  add("model.embed_tokens.weight", {shape_.vocab, hidden});
  if (!shape_.tied) add("lm_head.weight", {shape_.vocab, hidden});
  add("model.norm.weight", {hidden});
  for (std::int64_t layer = 0; layer < shape_.layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    add(prefix + "input_layernorm.weight", {hidden});
    add(prefix + "post_attention_layernorm.weight", {hidden});
    for (const auto& [name, outs] :
         {std::pair("q", query), std::pair("k", key_value), std::pair("v", key_value)}) {
      add(fmt::format("{}self_attn.{}_proj.weight", prefix, name), {outs, hidden});
      add(fmt::format("{}self_attn.{}_proj.bias", prefix, name), {outs});
    }
    add(prefix + "self_attn.o_proj.weight", {hidden, query});
    add(prefix + "mlp.gate_proj.weight", {intermediate, hidden});
    add(prefix + "mlp.up_proj.weight", {intermediate, hidden});
    add(prefix + "mlp.down_proj.weight", {hidden, intermediate});
  }
}

void IntegerModel::write() const {
  std::vector<Tensor> tensors;
  std::vector<NamedView> views;
  for (const auto& [name, stored] : tensors_) {
    tensors.push_back(as_bf16(stored.shape, stored.values));
    views.push_back({name, tensors.back().view()});
  }
  write_tensor_file(directory_ / "model.safetensors", {{"format", "pt"}}, views);
  OutputFile config(directory_ / "config.json");
  config.write(config_of(shape_).dump(1));
  config.keep();
}

}  // namespace plumbline::phases
