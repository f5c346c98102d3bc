#include "impl/positions.h"

#include <numeric>

namespace plumbline::native {

std::vector<std::int64_t> position_ids(std::int64_t past, std::int64_t tokens) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(tokens));
  std::iota(positions.begin(), positions.end(), past);
  return positions;
}

}  // namespace plumbline::native
