#include "impl/cpu/model_weights.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/half.h"

namespace plumbline::native {
namespace {

const SafetensorsEntry& tensor_of(const Checkpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.tensors().find(name);
  require(found != checkpoint.tensors().end(), "model weights: the checkpoint was not checked");
  return found->second;
}

StoredMatrix matrix_at(const std::byte* data, DType dtype) {
  if (dtype == DType::bf16) return reinterpret_cast<const Bf16*>(data);
  if (dtype == DType::f16) return reinterpret_cast<const F16*>(data);
  return reinterpret_cast<const float*>(data);
}

}  // namespace

const std::byte* ModelWeights::in_place(const SafetensorsEntry& tensor, DType dtype) {
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.bytes.data());
  return tensor.dtype == dtype && address % dtype_size(dtype) == 0 ? tensor.bytes.data() : nullptr;
}

const std::byte* ModelWeights::converted(const Checkpoint& checkpoint, const std::string& name, DType dtype) {
  constexpr std::int64_t kChunk = 4096;
  const SafetensorsEntry& tensor = tensor_of(checkpoint, name);
  const std::int64_t count = tensor.shape.elements();
  std::byte* const to = converted_.emplace_back(static_cast<std::size_t>(count), dtype).data();
  std::vector<float> wide(kChunk);
  std::vector<std::byte> narrowed(kChunk * sizeof(float));
  for (std::int64_t i = 0; i < count; i += kChunk) {
    const std::int64_t size = std::min(kChunk, count - i);
    widen(tensor.dtype, tensor.bytes.data() + i * static_cast<std::int64_t>(dtype_size(tensor.dtype)), size,
          wide.data());
    narrow(storage_, wide.data(), size, narrowed.data());
    widen(storage_, narrowed.data(), size, wide.data());
    if (!std::all_of(wide.begin(), wide.begin() + size, [](float value) { return std::isfinite(value); })) {
      throw Error(fmt::format("has values that are infinite in {}", dtype_name(storage_)),
                  checkpoint.where(name), "a storage dtype of a larger range");
    }
    narrow(dtype, wide.data(), size, to + i * static_cast<std::int64_t>(dtype_size(dtype)));
  }
  return to;
}

const float* ModelWeights::vector(const Checkpoint& checkpoint, const std::string& name) {
  const std::byte* there =
      storage_ == DType::f32 ? in_place(tensor_of(checkpoint, name), DType::f32) : nullptr;
  if (there == nullptr) there = converted(checkpoint, name, DType::f32);
  return reinterpret_cast<const float*>(there);
}

StoredMatrix ModelWeights::matrix(const Checkpoint& checkpoint, const std::string& name) {
  const std::byte* there = in_place(tensor_of(checkpoint, name), storage_);
  return matrix_at(there != nullptr ? there : converted(checkpoint, name, storage_), storage_);
}

LinearWeights ModelWeights::linear(const Checkpoint& checkpoint, const std::string& name, bool bias) {
  LinearWeights made;
  made.weight = matrix(checkpoint, name + ".weight");
  if (bias) made.bias = vector(checkpoint, name + ".bias");
  const Shape& shape = checkpoint.tensors().at(name + ".weight").shape;
  made.outs = shape[0];
  made.depth = shape[1];
  return made;
}

ModelWeights::ModelWeights(const Checkpoint& checkpoint, const ModelConfig& config, DType storage)
    : storage_(storage) {
  embedding_ = matrix(checkpoint, "model.embed_tokens.weight");
  norm_ = vector(checkpoint, "model.norm.weight");
  if (config.tie_word_embeddings) {
    head_ = {embedding_, nullptr, config.vocab_size, config.hidden_size};
  } else {
    head_ = linear(checkpoint, "lm_head", false);
  }
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    LayerWeights layer;
    layer.input_layernorm = vector(checkpoint, prefix + "input_layernorm.weight");
    layer.post_attention_layernorm = vector(checkpoint, prefix + "post_attention_layernorm.weight");
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
