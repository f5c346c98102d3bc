#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "bench/peers/sampler_chains.h"

namespace plumbline::bench {
namespace {

constexpr int kDigitBits = 11;
constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;
constexpr int kPasses = 3;

// Descending scores as ascending integers.
std::uint32_t key_of(float score) {
  const auto bits = std::bit_cast<std::uint32_t>(score);
  return (bits & 0x80000000u) != 0 ? bits : ~(bits | 0x80000000u);
}

float score_of(std::uint32_t key) {
  return std::bit_cast<float>((key & 0x80000000u) != 0 ? key : ~key & 0x7FFFFFFFu);
}

}  // namespace

// Least significant digit first: three passes of 11 bits, their histograms counted in one pass before.
void SortedChain::sort() {
  std::array<std::array<std::uint32_t, kDigits>, kPasses> starts{};
  const auto digit = [](std::uint32_t key, int pass) { return (key >> (pass * kDigitBits)) & (kDigits - 1); };
  for (const Entry& entry : entries_) {
    for (int pass = 0; pass < kPasses; ++pass) {
      ++starts[static_cast<std::size_t>(pass)][digit(entry.key, pass)];
    }
  }
  other_.resize(entries_.size());
  for (int pass = 0; pass < kPasses; ++pass) {
    std::uint32_t sum = 0;
    auto& start = starts[static_cast<std::size_t>(pass)];
    for (std::uint32_t& each : start) sum += std::exchange(each, sum);
    for (const Entry& entry : entries_) other_[start[digit(entry.key, pass)]++] = entry;
    entries_.swap(other_);
  }
}

TokenId SortedChain::draw(std::span<const float> logits, const SamplingParams& params, double uniform) {
  const auto divisor = static_cast<float>(params.temperature);
  entries_.resize(logits.size());
  // From the highest id down: of equal scores, the sort then leaves the highest id first, which top-p keeps
  // the longest.
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const std::size_t id = logits.size() - 1 - i;
    entries_[i] = {key_of(logits[id] / divisor), static_cast<TokenId>(id)};
  }
  sort();
  std::size_t kept = entries_.size();
  if (params.top_k > 0 && params.top_k < static_cast<std::int64_t>(kept)) {
    kept = static_cast<std::size_t>(params.top_k);
    while (kept < entries_.size() && entries_[kept].key == entries_[kept - 1].key) ++kept;
  }
  scores_.resize(kept);
  weights_.resize(kept);
  const float largest = score_of(entries_[0].key);
  double sum = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    weights_[i] = std::exp(score_of(entries_[i].key) - largest);
    sum += static_cast<double>(weights_[i]);
  }
  if (params.top_p < 1) {
    // What lies below the cut sums to at most 1 - p; the first is always kept.
    double below = 0;
    while (kept > 1 && below + static_cast<double>(weights_[kept - 1]) <= (1 - params.top_p) * sum) {
      below += static_cast<double>(weights_[--kept]);
    }
    sum -= below;
  }
  kept_ = static_cast<std::int64_t>(kept);
  double cumulative = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    cumulative += static_cast<double>(weights_[i]) / sum;
    if (cumulative > uniform) return entries_[i].id;
  }
  return entries_[kept - 1].id;
}

}  // namespace plumbline::bench
