#include <algorithm>

#include "impl/lanes.h"
#include "impl/sampling/filters.h"
#include "impl/sampling/scores.h"

namespace plumbline::native {
namespace {

constexpr std::size_t kSortBelow = 128;  // candidates that are simply sorted
constexpr std::size_t kBuckets = 1024;
constexpr float kWeightless = 88;  // this far below the largest score, weights are 0

// Which of kBuckets equal parts of [low, high] a score lies in. Never falls as the score rises.
struct Buckets {
  Buckets(float lowest, float highest)
      : low(lowest), scale(kBuckets / (static_cast<double>(highest) - static_cast<double>(lowest))) {}
  std::size_t of(float score) const {
    const double place = (static_cast<double>(score) - low) * scale;
    return std::min(static_cast<std::size_t>(place), kBuckets - 1);
  }
  double low, scale;
};

// The bucket in which the sum of all weights up to it first exceeds the limit, kBuckets if in none; `below`
// grows by the buckets before it.
std::size_t find_crossing(std::span<const double> weights, double limit, double& below) {
  std::size_t crossing = 0;
  while (crossing < kBuckets && below + weights[crossing] <= limit) below += weights[crossing++];
  return crossing;
}

std::size_t last_largest(std::span<const float> scores, float largest) {
  std::size_t last = scores.size() - 1;
  while (scores[last] != largest) --last;
  return last;
}

}  // namespace

bool TopP::before(const Place& a, const Place& b) {
  return a.score < b.score || (a.score == b.score && a.index < b.index);
}

TopP::Place TopP::at(std::size_t index, Candidates& candidates) const {
  return {candidates.scores()[index], static_cast<std::uint32_t>(index),
          static_cast<double>(candidates.weights()[index])};
}

// In f32 over all candidates. Scores so low that they weigh nothing share the lowest bucket.
bool TopP::narrow(double limit, std::size_t always, Candidates& candidates, double& below) {
  const std::span<const float> scores = candidates.scores(), weights = candidates.weights();
  near_.clear();
  near_.reserve(candidates.capacity());
  bucket_of_.reserve(candidates.capacity() + kLanes);
  bucket_weight_.reserve(kBuckets);
  const float largest = scores[always];
  Lanes least = largest - Lanes{};
  for_lanes(scores, largest, [&](const Lanes& each, std::size_t) { least = each < least ? each : least; });
  float low = largest;
  for (std::size_t lane = 0; lane < kLanes; ++lane) low = std::min(low, least[lane]);
  low = std::max(low, largest - kWeightless);
  if (scores.size() <= kSortBelow || !(low < largest)) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (i != always) near_.push_back(at(i, candidates));
    }
    return false;
  }
  const float scale = static_cast<float>(kBuckets - 1) / (largest - low);
  bucket_of_.resize((scores.size() + kLanes - 1) / kLanes * kLanes);
  for_lanes(scores, low, [&](const Lanes& each, std::size_t first) {
    const Lanes height = (each > low ? each : low - Lanes{}) - low;
    const IntLanes bucket = __builtin_convertvector(height * scale, IntLanes);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      bucket_of_[first + lane] = static_cast<std::uint16_t>(bucket[lane]);
    }
  });
  bucket_weight_.assign(kBuckets, 0);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    bucket_weight_[bucket_of_[i]] += static_cast<double>(weights[i]);
  }
  bucket_weight_[bucket_of_[always]] -= static_cast<double>(weights[always]);
  const std::size_t crossing = find_crossing(bucket_weight_, limit, below);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (bucket_of_[i] == crossing && i != always) near_.push_back(at(i, candidates));
  }
  return crossing < kBuckets;
}

// Narrows `near_` further, one bucket of scores after another, until there is little left to sort.
std::optional<TopP::Place> TopP::first_kept(double below, double limit, bool crosses) {
  const auto by_score = [](const Place& a, const Place& b) { return a.score < b.score; };
  while (near_.size() > kSortBelow) {
    const auto [lowest, highest] = std::ranges::minmax(near_, by_score);
    if (lowest.score == highest.score) break;
    const Buckets buckets(lowest.score, highest.score);
    bucket_weight_.assign(kBuckets, 0);
    for (const Place& place : near_) bucket_weight_[buckets.of(place.score)] += place.weight;
    const std::size_t crossing =
        std::min(find_crossing(bucket_weight_, limit, below), crosses ? kBuckets - 1 : kBuckets);
    std::erase_if(near_, [&](const Place& place) { return buckets.of(place.score) != crossing; });
  }
  if (near_.size() <= kSortBelow) std::ranges::sort(near_, before);  // else all are equal, and in id order
  for (const Place& place : near_) {
    below += place.weight;
    if (below > limit) return place;
  }
  if (crosses && !near_.empty()) return near_.back();
  return std::nullopt;
}

void TopP::keep(double p, Candidates& candidates) {
  const double limit = (1.0 - p) * candidates.weight_sum();
  // The last of the order is always kept, and has no say in where the cut lies.
  const std::size_t always = last_largest(candidates.scores(), take_census(candidates.scores()).largest);
  double below = 0;
  const bool crosses = narrow(limit, always, candidates, below);
  Place first = at(always, candidates);
  if (const std::optional<Place> found = first_kept(below, limit, crosses)) first = *found;
  const std::span<const float> scores = candidates.scores();
  candidates.filter([&](std::size_t i) {
    return (scores[i] > first.score) | ((scores[i] == first.score) & (i >= first.index));
  });
}

}  // namespace plumbline::native
