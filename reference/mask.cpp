#include "reference/mask.h"

namespace plumbline::reference {

Tensor allowed_mask(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window) {
  require(queries >= 0 && past >= 0 && window.value_or(1) > 0, "allowed_mask: sizes out of range");
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

Tensor position_ids(std::int64_t past, std::int64_t tokens) {
  require(past >= 0 && tokens >= 0, "position_ids: sizes out of range");
  Tensor positions(DType::i64, {tokens});
  for (std::int64_t i = 0; i < tokens; ++i)
    positions.values<std::int64_t>()[static_cast<std::size_t>(i)] = past + i;
  return positions;
}

Tensor left_padded_positions(const TensorView& mask) {
  require(mask.shape.rank() == 2 && mask.dtype == DType::boolean,
          "left_padded_positions: a boolean [batch, length]");
  Tensor positions(DType::i64, mask.shape);
  const auto out = positions.values<std::int64_t>();
  const std::int64_t length = mask.shape[1];
  for (std::int64_t row = 0; row < mask.shape[0]; ++row) {
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < length; ++i) {
      sum += element_as_f64(mask, row * length + i) != 0.0 ? 1 : 0;
      out[static_cast<std::size_t>(row * length + i)] = sum - 1;
    }
  }
  return positions;
}

}  // namespace plumbline::reference
