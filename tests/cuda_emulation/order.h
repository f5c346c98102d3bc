// In which order blocks, warps and lanes get their turn.
#pragma once

#include <array>
#include <cstdint>

namespace plumbline::cuda_emulation {

using LaneOrder = std::array<std::uint8_t, 32>;

// An order of 32 lanes (or warps) as settings() say. When they are shuffled, another one for other rounds.
const LaneOrder& lane_order(std::uint64_t round);

// The place of the `index`-th of `count` blocks to run. When they are shuffled, another one for other rounds.
std::uint64_t block_at(std::uint64_t index, std::uint64_t count, std::uint64_t round = 0);

// Whether a block of a cooperative grid gives its turn away as soon as it has arrived at a barrier, and not
// when it waits there. Emulation.h, Order.
bool pauses_at_arrival(std::uint64_t block, std::uint64_t round);

}  // namespace plumbline::cuda_emulation
