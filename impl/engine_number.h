// Tells engines apart, so that a cache is used by the one that made it.
#pragma once

#include <atomic>
#include <cstdint>

namespace plumbline::native {

// Never reused, unlike an address: a cache outlives its engine in a caller's hands now and then.
inline std::uint64_t next_engine_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace plumbline::native
