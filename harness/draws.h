// Random numbers by seed, the same everywhere: for texts and inputs that are made anew in each run and held
// against goldens. Not for sampling, whose generator is part of what is judged.
#pragma once

#include <cstddef>
#include <cstdint>

namespace plumbline {

// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += kStep;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  // What next() gives for the index-th time from seed 0, from 0.
  static std::uint64_t at(std::uint64_t index) { return Draws(index * kStep).next(); }
  // From 0 to limit - 1, by remainder; limit > 0.
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }

 private:
  static constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15;
  std::uint64_t state_;
};

}  // namespace plumbline
