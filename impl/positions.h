// Rotary positions of new tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "harness/tensor.h"

namespace plumbline::native {

// The angle is an f32 product. f32 holds every whole number up to here; beyond, neighbours would get one and
// the same position, so that is refused.
inline constexpr std::int64_t kLargestPosition = std::int64_t{1} << 24;

// Throws Error, naming `where`, for a position that is negative or beyond kLargestPosition.
void check_positions(std::span<const std::int64_t> positions, std::string_view where);

// past, past + 1, … for `tokens` new tokens after `past` earlier ones. Throws Error for negative counts, and
// where a position would lie beyond kLargestPosition: before anything is allocated.
std::vector<std::int64_t> position_ids(std::int64_t past, std::int64_t tokens);

// real: booleans [batch, length], true at tokens -> i64 [batch, length]: a token's number among its row's
// tokens, from 0 (cumsum(mask) - 1); 0 at pads, where nothing may be read from it. Throws Error for an empty
// mask, another shape or type, and a row without a token.
Tensor left_padded_positions(const TensorView& real);

}  // namespace plumbline::native
