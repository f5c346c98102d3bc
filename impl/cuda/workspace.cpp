#include "impl/cuda/workspace.h"

namespace plumbline::native::cuda {

bool Workspace::reserve(const ModelConfig& config, const DerivedArchitecture& derived, DType storage,
                        std::int64_t rows, std::int64_t logit_rows, const AttentionPlan& plan,
                        bool probs_apart) {
  bool moved = false;
  const auto room = [&](DeviceBuffer& buffer, std::int64_t count, DType dtype) {
    const std::size_t bytes = static_cast<std::size_t>(count) * dtype_size(dtype);
    moved = buffer.reserve(bytes, "a forward pass's buffers") || moved;
  };
  for (DeviceBuffer* buffer : {&stream, &normed, &delta}) room(*buffer, rows * config.hidden_size, storage);
  for (DeviceBuffer* buffer : {&query, &context}) room(*buffer, rows * derived.query_dim, storage);
  for (DeviceBuffer* buffer : {&key, &value}) room(*buffer, rows * derived.key_value_dim, storage);
  for (DeviceBuffer* buffer : {&gate, &up}) room(*buffer, rows * config.intermediate_size, storage);
  for (DeviceBuffer* buffer : {&cos, &sin}) room(*buffer, rows * config.head_dim, DType::f32);
  room(head_input, logit_rows * config.hidden_size, storage);
  room(logits, logit_rows * config.vocab_size, DType::f32);
  room(scores, plan.scores, DType::f32);
  if (probs_apart) room(probs, plan.scores, DType::f32);
  room(partials, plan.partials, DType::f32);
  return moved;
}

}  // namespace plumbline::native::cuda
