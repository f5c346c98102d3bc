#include "impl/positions.h"

#include <numeric>

#include <fmt/format.h>

namespace plumbline::native {

void check_positions(std::span<const std::int64_t> positions, std::string_view where) {
  for (const std::int64_t position : positions) {
    if (position < 0) throw Error(fmt::format("position {} is negative", position), where);
    if (position > kLargestPosition) {
      throw Error(fmt::format("position {} is beyond {}", position, kLargestPosition), where,
                  "f32 does not hold every whole number there, and angles are f32");
    }
  }
}

std::vector<std::int64_t> position_ids(std::int64_t past, std::int64_t tokens) {
  constexpr std::string_view where = "position ids";
  if (past < 0 || tokens < 0) throw Error(fmt::format("{} tokens after {}", tokens, past), where);
  // The last is past + tokens - 1, a sum that may not fit into 64 bits.
  if (tokens > 0 && (past > kLargestPosition || tokens - 1 > kLargestPosition - past)) {
    throw Error(fmt::format("{} tokens after {} go beyond position {}", tokens, past, kLargestPosition),
                where);
  }
  std::vector<std::int64_t> positions(static_cast<std::size_t>(tokens));
  std::iota(positions.begin(), positions.end(), past);
  return positions;
}

Tensor left_padded_positions(const TensorView& real) {
  constexpr std::string_view where = "left-padded position ids";
  if (real.data == nullptr || real.shape.rank() == 0 || real.elements() < 1)
    throw Error("the mask is empty", where);
  if (real.shape.rank() != 2 || real.dtype != DType::boolean)
    throw Error("the mask is not a boolean [batch, length]", where);
  Tensor positions(DType::i64, real.shape);
  auto* out = positions.values<std::int64_t>().data();
  for (std::int64_t row = 0; row < real.shape[0]; ++row) {
    std::int64_t next = 0;
    for (std::int64_t i = 0; i < real.shape[1]; ++i, ++out)
      if (element_as_f64(real, row * real.shape[1] + i) != 0.0) *out = next++;
    if (next == 0) throw Error(fmt::format("row {} of the mask has no token", row), where);
  }
  return positions;
}

}  // namespace plumbline::native
