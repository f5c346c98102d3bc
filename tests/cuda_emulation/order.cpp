#include "tests/cuda_emulation/order.h"

#include <numeric>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/emulation.h"

namespace plumbline::cuda_emulation {
namespace {

// Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014: splitmix64's output function.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

LaneOrder counted(bool descending) {
  LaneOrder order;
  for (int i = 0; i < 32; ++i) order[i] = static_cast<std::uint8_t>(descending ? 31 - i : i);
  return order;
}

constexpr std::uint64_t kShuffles = 64;

const std::vector<LaneOrder>& shuffles(unsigned seed) {
  static std::vector<LaneOrder> orders;
  static unsigned made_for = 0;
  if (!orders.empty() && made_for == seed) return orders;
  made_for = seed;
  orders.assign(kShuffles, counted(false));
  std::uint64_t state = mix(seed);
  for (LaneOrder& order : orders) {
    for (std::uint64_t i = 31; i > 0; --i) {
      state = mix(state);
      std::swap(order[i], order[state % (i + 1)]);
    }
  }
  return orders;
}

}  // namespace

const LaneOrder& lane_order(std::uint64_t round) {
  static const LaneOrder ascending = counted(false);
  static const LaneOrder descending = counted(true);
  const Settings& now = settings();
  if (now.order == Order::shuffled) return shuffles(now.seed)[mix(round) % kShuffles];
  return now.order == Order::ascending ? ascending : descending;
}

std::uint64_t block_at(std::uint64_t index, std::uint64_t count, std::uint64_t round) {
  const Settings& now = settings();
  if (now.order == Order::ascending) return index;
  if (now.order == Order::descending) return count - 1 - index;
  // index -> index * step + shift is a permutation when step and count have no common factor.
  const std::uint64_t seed = round == 0 ? now.seed : mix(now.seed + round);
  std::uint64_t step = mix(seed) % count;
  while (std::gcd(step, count) != 1) ++step;
  return (index * (step % count) + mix(seed + 1) % count) % count;
}

bool pauses_at_arrival(std::uint64_t block, std::uint64_t round) {
  const Settings& now = settings();
  if (now.order == Order::shuffled) return (mix(mix(now.seed + round) + block) & 1) != 0;
  return now.order == Order::descending;
}

}  // namespace plumbline::cuda_emulation
