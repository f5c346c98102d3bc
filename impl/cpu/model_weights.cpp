#include "impl/cpu/model_weights.h"

#include "impl/half.h"
#include "impl/rounded_tensor.h"

namespace plumbline::native {
namespace {

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
  const std::int64_t count = checked_tensor(checkpoint, name).shape.elements();
  std::byte* const to = converted_.emplace_back(static_cast<std::size_t>(count), dtype).data();
  for_rounded_chunks(checkpoint, name, storage_, [&](std::int64_t first, std::span<const float> values) {
    narrow(dtype, values.data(), static_cast<std::int64_t>(values.size()),
           to + first * static_cast<std::int64_t>(dtype_size(dtype)));
  });
  return to;
}

const float* ModelWeights::vector(const Checkpoint& checkpoint, const std::string& name) {
  const std::byte* there =
      storage_ == DType::f32 ? in_place(checked_tensor(checkpoint, name), DType::f32) : nullptr;
  if (there == nullptr) there = converted(checkpoint, name, DType::f32);
  return reinterpret_cast<const float*>(there);
}

StoredMatrix ModelWeights::matrix(const Checkpoint& checkpoint, const std::string& name) {
  const std::byte* there = in_place(checked_tensor(checkpoint, name), storage_);
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
    layers_.push_back(layer_weights<LayerWeights>(
        i, [&](const std::string& name) { return vector(checkpoint, name); },
        [&](const std::string& name, bool bias) { return linear(checkpoint, name, bias); }));
  }
}

}  // namespace plumbline::native
