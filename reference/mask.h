// What a query may attend to, and which position each token has.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/tensor.h"

namespace plumbline::reference {

// Boolean [queries, past + queries]: query i, at place q = past + i of its sequence, sees keys k <= q, and
// with a window W only k > q - W (W keys, itself included). Throws InternalError for negative sizes.
Tensor allowed_mask(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window);

// i64 [tokens]: past, past + 1, ….
Tensor position_ids(std::int64_t past, std::int64_t tokens);

// mask: boolean [batch, length], true at real tokens -> i64 [batch, length]: cumsum(mask) - 1. Pads before
// the first real token have -1, pads between have the last position: compare real tokens only.
Tensor left_padded_positions(const TensorView& mask);

}  // namespace plumbline::reference
