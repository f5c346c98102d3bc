// In which order blocks, warps and lanes get their turn.
#pragma once

#include <array>
#include <cstdint>

namespace plumbline::cuda_emulation {

using LaneOrder = std::array<std::uint8_t, 32>;

// An order of 32 lanes (or warps) as settings() say. When they are shuffled, another one for other rounds.
const LaneOrder& lane_order(std::uint64_t round);

// The place of the `index`-th of `count` blocks to run.
std::uint64_t block_at(std::uint64_t index, std::uint64_t count);

}  // namespace plumbline::cuda_emulation
