#include "reference/mask.h"

#include <string>

#include "reference/internal/convert_torch.h"
#include "reference/rope.h"

namespace plumbline::reference {
namespace {

void check_sizes(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window) {
  const std::string sizes = std::to_string(queries) + " queries after " + std::to_string(past) + " tokens";
  if (queries <= 0 || past < 0) throw Error(sizes + " have no mask", "mask");
  if (window && *window <= 0) throw Error("the window is " + std::to_string(*window), "mask");
  std::int64_t keys = 0, elements = 0;
  if (__builtin_add_overflow(past, queries, &keys) || __builtin_mul_overflow(keys, queries, &elements))
    throw Error(sizes + ": too many elements for 64 bits", "mask");
}

void check_real(const TensorView& real, const std::string& where) {
  if (real.shape.rank() != 2 || real.dtype != DType::boolean)
    throw Error("should be a boolean [batch, length]", where);
  if (real.elements() == 0) throw Error("is empty", where);
}

}  // namespace

Tensor allowed_mask(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window) {
  check_sizes(queries, past, window);
  const std::int64_t keys = past + queries;
  Tensor mask(DType::boolean, {queries, keys});
  const auto allowed = mask.values<std::uint8_t>();
  for (std::int64_t i = 0; i < queries; ++i) {
    const std::int64_t q = past + i;
    for (std::int64_t k = 0; k < keys; ++k) {
      const bool causal = k <= q;
      const bool in_window = !window || k > q - *window;
      allowed[static_cast<std::size_t>(i * keys + k)] = causal && in_window ? 1 : 0;
    }
  }
  return mask;
}

Tensor expanded_mask(const TensorView& mask, std::int64_t batch) {
  if (batch <= 0 || mask.elements() == 0 || mask.shape.rank() != 2)
    throw Error(std::to_string(batch) + " times " + mask.shape.to_string(), "expanded mask");
  const at::InferenceMode guard;
  return to_harness(as_torch(mask).unsqueeze(0).unsqueeze(0).expand({batch, 1, -1, -1}).contiguous());
}

Tensor padded_mask(const TensorView& real, std::int64_t queries, std::optional<std::int64_t> window) {
  check_real(real, "padded mask");
  const std::int64_t keys = real.shape[1];
  if (queries > keys)
    throw Error(std::to_string(queries) + " queries of " + std::to_string(keys), "padded mask");
  const Tensor causal = allowed_mask(queries, keys - queries, window);
  const at::InferenceMode guard;
  return to_harness(as_torch(causal.view()).unsqueeze(0).logical_and(as_torch(real).unsqueeze(1)));
}

Tensor position_ids(std::int64_t past, std::int64_t tokens) {
  const std::string counts = std::to_string(tokens) + " positions from " + std::to_string(past);
  if (past < 0 || tokens < 0) throw Error(counts, "position ids");
  if (past > kLargestPosition || tokens > kLargestPosition + 1 - past)
    throw Error(counts + ": beyond " + std::to_string(kLargestPosition) + ", to which f32 counts",
                "position ids");
  Tensor positions(DType::i64, {tokens});
  for (std::int64_t i = 0; i < tokens; ++i)
    positions.values<std::int64_t>()[static_cast<std::size_t>(i)] = past + i;
  return positions;
}

Tensor left_padded_positions(const TensorView& mask) {
  check_real(mask, "left-padded positions");
  const at::InferenceMode guard;
  const at::Tensor counts = as_torch(mask).to(at::kLong).cumsum(1);
  if (!counts.select(1, mask.shape[1] - 1).all().item<bool>())
    throw Error("a row has no real token", "left-padded positions");
  return to_harness(counts - 1);
}

}  // namespace plumbline::reference
