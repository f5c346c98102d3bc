// The work on which forward passes are timed: prefill of two lengths, decode after two.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace plumbline::bench {

struct ForwardWork {
  std::string name;
  std::int64_t before;  // tokens in the cache
  std::int64_t tokens;  // timed at once
  bool at_once;         // prefill; else one by one
};

inline const std::vector<ForwardWork>& forward_work() {
  static const std::vector<ForwardWork> work{
      {"prefill of 64", 0, 64, true},
      {"prefill of 256", 0, 256, true},
      {"decode after 64", 64, 8, false},
      {"decode after 1000", 1000, 8, false},
  };
  return work;
}

}  // namespace plumbline::bench
