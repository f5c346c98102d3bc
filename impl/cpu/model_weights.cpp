#include "impl/cpu/model_weights.h"

#include <cstring>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

float element(const std::byte* bytes, DType dtype) {
  if (dtype == DType::f32) {
    float value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, bytes, sizeof bits);
  return dtype == DType::bf16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

bool readable_in_place(const SafetensorsEntry& tensor) {
  return tensor.dtype == DType::f32 && reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % 4 == 0;
}

}  // namespace

const float* ModelWeights::floats(const Checkpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.tensors().find(name);
  require(found != checkpoint.tensors().end(), "model weights: the checkpoint was not checked");
  const SafetensorsEntry& tensor = found->second;
  if (readable_in_place(tensor)) return reinterpret_cast<const float*>(tensor.bytes.data());
  const auto count = static_cast<std::size_t>(tensor.shape.elements());
  float* values = widened_.emplace_back(count).data();
  const std::size_t size = dtype_size(tensor.dtype);
  for (std::size_t i = 0; i < count; ++i) values[i] = element(tensor.bytes.data() + i * size, tensor.dtype);
  return values;
}

LinearWeights ModelWeights::linear(const Checkpoint& checkpoint, const std::string& name, bool bias) {
  LinearWeights made;
  made.weight = floats(checkpoint, name + ".weight");
  if (bias) made.bias = floats(checkpoint, name + ".bias");
  const Shape& shape = checkpoint.tensors().at(name + ".weight").shape;
  made.outs = shape[0];
  made.depth = shape[1];
  return made;
}

ModelWeights::ModelWeights(const Checkpoint& checkpoint, const ModelConfig& config) {
  embedding_ = floats(checkpoint, "model.embed_tokens.weight");
  norm_ = floats(checkpoint, "model.norm.weight");
  if (config.tie_word_embeddings) {
    head_ = {embedding_, nullptr, config.vocab_size, config.hidden_size};
  } else {
    head_ = linear(checkpoint, "lm_head", false);
  }
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    LayerWeights layer;
    layer.input_layernorm = floats(checkpoint, prefix + "input_layernorm.weight");
    layer.post_attention_layernorm = floats(checkpoint, prefix + "post_attention_layernorm.weight");
    layer.q_proj = linear(checkpoint, prefix + "self_attn.q_proj", true);
    layer.k_proj = linear(checkpoint, prefix + "self_attn.k_proj", true);
    layer.v_proj = linear(checkpoint, prefix + "self_attn.v_proj", true);
    layer.o_proj = linear(checkpoint, prefix + "self_attn.o_proj", false);
    layer.gate_proj = linear(checkpoint, prefix + "mlp.gate_proj", false);
    layer.up_proj = linear(checkpoint, prefix + "mlp.up_proj", false);
    layer.down_proj = linear(checkpoint, prefix + "mlp.down_proj", false);
    layers_.push_back(layer);
  }
}

}  // namespace plumbline::native
