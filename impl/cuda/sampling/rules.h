// The decisions of the device's sampler, one element or one place at a time.
#pragma once

#include <cstdint>

#include "impl/cuda/exp.h"
#include "impl/cuda/host_device.h"
#include "impl/cuda/sampling/fixed.h"
#include "impl/cuda/sampling/order.h"

namespace plumbline::native::cuda {

// What the penalties do to one token; each token is in one entry at most.
struct PenaltyEntry {
  std::int32_t token = 0;
  std::int32_t generated = 0;  // how often, so far
  std::int32_t repeated = 0;   // 1: the history holds it
  float bias = 0;              // -0 where there is none: adding that changes nothing
};
struct PenaltyValues {
  float repetition = 1;
  float frequency = 0;
  float presence = 0;
};
// Each step rounded to f32, as impl/sampling/penalties.cpp has them.
PLUMBLINE_HOST_DEVICE inline float penalized(float score, const PenaltyEntry& entry,
                                             const PenaltyValues& values) {
  if (entry.repeated != 0) score = score < 0.0f ? score * values.repetition : score / values.repetition;
  if (entry.generated > 0) {
    const float frequency = values.frequency * static_cast<float>(entry.generated);
    score = score - frequency;
    score = score - values.presence;
  }
  return score + entry.bias;
}

// The softmax's weight of a score beside the largest: 0 for a dropped one.
PLUMBLINE_HOST_DEVICE inline float weight_of(float score, float largest) {
  return exp_not_positive(score - largest);
}

// A place in an order of the kept tokens: the first at which the sum of all amounts up to it exceeds a limit.
// top-k: from the largest on, each token amounts to 1, and the k-th is where the sum exceeds k - 1/2. top-p:
// from the smallest on, each amounts to its weight, and the limit is (1 - p) of their sum.
struct CutRule {
  bool descending = false;
  bool by_weight = false;
  double amount = 0;  // k or 1 - p
};
PLUMBLINE_HOST_DEVICE inline std::uint32_t rank_of(const CutRule& rule, float score) {
  return rule.descending ? ~key_of(score) : key_of(score);
}
PLUMBLINE_HOST_DEVICE inline Fixed amount_of(const CutRule& rule, float score, float largest) {
  return fixed_of(rule.by_weight ? weight_of(score, largest) : 1.0f);
}
PLUMBLINE_HOST_DEVICE inline double limit_of(const CutRule& rule, Fixed total) {
  return rule.by_weight ? rule.amount * as_f64(total) : rule.amount - 0.5;
}

// The place is narrowed down by the digits of its rank, the highest first.
inline constexpr int kDigits = 3;
inline constexpr int kBins = 2048;
PLUMBLINE_HOST_DEVICE constexpr int digit_bits(int digit) {
  return digit < 2 ? 11 : 10;
}
PLUMBLINE_HOST_DEVICE constexpr int digit_shift(int digit) {
  return digit == 0 ? 21 : digit == 1 ? 10 : 0;
}
PLUMBLINE_HOST_DEVICE inline std::uint32_t digit_of(std::uint32_t rank, int digit) {
  return (rank >> digit_shift(digit)) & ((1u << digit_bits(digit)) - 1u);
}
// The digits before this one; 0 for the first.
PLUMBLINE_HOST_DEVICE inline std::uint32_t prefix_of(std::uint32_t rank, int digit) {
  return digit == 0 ? 0u : rank >> digit_shift(digit - 1);
}

struct Cut {
  std::uint32_t prefix = 0;  // the digits known so far
  Fixed below;               // of all ranks that are lower than those
  double limit = 0;
};

// Of `ties` equal tokens at the cut, each of this weight, how many are dropped: those with which the sum is
// at most the limit, but never all.
PLUMBLINE_HOST_DEVICE inline Word dropped_ties(const Cut& cut, Fixed weight, Word ties) {
  Word dropped = 0, more = ties;  // the sum exceeds the limit with `more` of them, or they are all
  while (more - dropped > 1) {
    const Word middle = dropped + (more - dropped) / 2;
    if (as_f64(plus(cut.below, times(middle, weight))) <= cut.limit) {
      dropped = middle;
    } else {
      more = middle;
    }
  }
  return dropped;
}

}  // namespace plumbline::native::cuda
