// Rotary positions of new tokens.
#pragma once

#include <cstdint>
#include <vector>

namespace plumbline::native {

// past, past + 1, … for `tokens` new tokens after `past` earlier ones.
std::vector<std::int64_t> position_ids(std::int64_t past, std::int64_t tokens);

}  // namespace plumbline::native
