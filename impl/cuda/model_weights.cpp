#include "impl/cuda/model_weights.h"

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/half.h"
#include "impl/rounded_tensor.h"

namespace plumbline::native::cuda {
namespace {

constexpr std::size_t kAlignment = 256;  // bytes: any kernel's widest access, and whole sectors of the cache

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

double gibibytes(std::size_t bytes) {
  return static_cast<double>(bytes) / static_cast<double>(std::size_t{1} << 30);
}

}  // namespace

// Where each tensor goes, and memory for all of them in one piece.
void ModelWeights::place(const Checkpoint& checkpoint, const ModelConfig& config) {
  std::size_t needed = 0;
  for (const WeightEntry& entry : expected_weights(config)) {
    if (entry.tied) continue;
    offsets_.emplace(entry.name, needed);
    const std::int64_t count = checked_tensor(checkpoint, entry.name).shape.elements();
    needed += aligned(static_cast<std::size_t>(count) * dtype_size(storage_));
  }
  const std::size_t free = free_memory();
  if (needed > free) {
    throw Error(fmt::format("the weights need {:.2f} GiB of device memory in {}, {:.2f} GiB are free",
                            gibibytes(needed), dtype_name(storage_), gibibytes(free)),
                "cuda engine", storage_ == DType::f32 ? "--dtype bf16 needs half" : "");
  }
  memory_.reserve(needed, "the weights");
}

void ModelWeights::upload(Stream stream, const Checkpoint& checkpoint) {
  std::vector<std::byte> converted;
  for (const auto& [name, offset] : offsets_) {
    const SafetensorsEntry& tensor = checked_tensor(checkpoint, name);
    std::byte* const to = memory_.as<std::byte>() + offset;
    if (tensor.dtype == storage_) {
      copy_to_device(stream, to, tensor.bytes.data(), tensor.bytes.size());
      continue;
    }
    converted.resize(static_cast<std::size_t>(tensor.shape.elements()) * dtype_size(storage_));
    for_rounded_chunks(checkpoint, name, storage_, [&](std::int64_t first, std::span<const float> values) {
      narrow(storage_, values.data(), static_cast<std::int64_t>(values.size()),
             converted.data() + static_cast<std::size_t>(first) * dtype_size(storage_));
    });
    copy_to_device(stream, to, converted.data(), converted.size());
  }
}

const void* ModelWeights::tensor(const std::string& name) const {
  return memory_.as<const std::byte>() + offsets_.at(name);
}

LinearLayer ModelWeights::linear(const Checkpoint& checkpoint, const std::string& name, bool bias) const {
  LinearLayer made;
  made.weight = tensor(name + ".weight");
  if (bias) made.bias = tensor(name + ".bias");
  const Shape& shape = checked_tensor(checkpoint, name + ".weight").shape;
  made.outs = shape[0];
  made.depth = shape[1];
  return made;
}

ModelWeights::ModelWeights(Stream stream, const Checkpoint& checkpoint, const ModelConfig& config,
                           DType storage)
    : storage_(storage) {
  place(checkpoint, config);
  upload(stream, checkpoint);
  embedding_ = tensor("model.embed_tokens.weight");
  norm_ = tensor("model.norm.weight");
  if (config.tie_word_embeddings) {
    head_ = {embedding_, nullptr, config.vocab_size, config.hidden_size};
  } else {
    head_ = linear(checkpoint, "lm_head", false);
  }
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    layers_.push_back(layer_weights<LayerWeights>(
        i, [&](const std::string& name) { return tensor(name); },
        [&](const std::string& name, bool bias) { return linear(checkpoint, name, bias); }));
  }
}

}  // namespace plumbline::native::cuda
