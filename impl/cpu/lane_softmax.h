// Softmax of one row over vectors of L::Floats: part of impl/cpu/lane_kernels.h.
#pragma once

#include "impl/cpu/kernels.h"
#include "impl/exp_lanes.h"

namespace plumbline::native {
namespace {

using FourFloats = float __attribute__((vector_size(16)));
using FourDoubles = double __attribute__((vector_size(32)));

template <typename L>
struct Softmax {
  using Floats = typename L::Floats;
  static constexpr std::int64_t kCount = sizeof(Floats) / sizeof(float);

  static void load(Floats& to, const float* from) { __builtin_memcpy(&to, from, sizeof to); }
  // `count` floats, and the first of them again in the other lanes.
  static void load_first(Floats& to, const float* from, std::int64_t count) {
    float filled[kCount];
    for (std::int64_t i = 0; i < kCount; ++i) filled[i] = from[i < count ? i : 0];
    load(to, filled);
  }

  static float largest_of(const SoftmaxArgs& args) {
    Floats largest, each;
    load_first(largest, args.scores, 1);
    largest *= args.scale;
    std::int64_t i = 0;
    for (; i + kCount <= args.count; i += kCount) {
      load(each, args.scores + i);
      each *= args.scale;
      largest = each > largest ? each : largest;
    }
    if (i < args.count) {
      load_first(each, args.scores + i, args.count - i);
      each *= args.scale;
      largest = each > largest ? each : largest;
    }
    float most = largest[0];
    for (std::int64_t lane = 1; lane < kCount; ++lane) most = largest[lane] > most ? largest[lane] : most;
    return most;
  }

  // exps[i] = exp(scores[i] * scale - largest), and their sum.
  static double exponentials(const SoftmaxArgs& args, float largest) {
    FourDoubles sums{};
    Floats each;
    std::int64_t i = 0;
    for (; i + kCount <= args.count; i += kCount) {
      load(each, args.scores + i);
      each = each * args.scale - largest;
      exp_not_positive_lanes<L, Floats, typename L::Ints>(each);
      __builtin_memcpy(args.probs + i, &each, sizeof each);
      add(sums, args.probs + i);
    }
    if (i < args.count) {
      load_first(each, args.scores + i, args.count - i);
      each = each * args.scale - largest;
      exp_not_positive_lanes<L, Floats, typename L::Ints>(each);
      float rest[kCount];
      for (std::int64_t lane = 0; lane < kCount; ++lane) rest[lane] = lane < args.count - i ? each[lane] : 0;
      for (std::int64_t lane = 0; lane < args.count - i; ++lane) args.probs[i + lane] = rest[lane];
      add(sums, rest);
    }
    double sum = 0;
    for (int lane = 0; lane < 4; ++lane) sum += sums[lane];
    return sum;
  }

  static void add(FourDoubles& sums, const float* values) {
    for (std::int64_t i = 0; i < kCount; i += 4) {
      FourFloats four;
      __builtin_memcpy(&four, values + i, sizeof four);
      sums += __builtin_convertvector(four, FourDoubles);
    }
  }
};

template <typename L>
void softmax(const SoftmaxArgs& args) {
  using S = Softmax<L>;
  const auto divisor = static_cast<float>(S::exponentials(args, S::largest_of(args)));
  typename S::Floats each;
  std::int64_t i = 0;
  for (; i + S::kCount <= args.count; i += S::kCount) {
    S::load(each, args.probs + i);
    each /= divisor;
    __builtin_memcpy(args.probs + i, &each, sizeof each);
  }
  for (; i < args.count; ++i) args.probs[i] /= divisor;
}

}  // namespace
}  // namespace plumbline::native
