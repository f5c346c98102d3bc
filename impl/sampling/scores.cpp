#include "impl/sampling/scores.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "impl/lanes.h"

namespace plumbline::native {

void widen(const TensorView& logits, std::span<float> out) {
  if (logits.dtype == DType::f32 && logits.is_contiguous()) {
    std::memcpy(out.data(), logits.data, out.size_bytes());
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(element_as_f64(logits, static_cast<std::int64_t>(i)));
  }
}

Census take_census(std::span<const float> scores) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  Lanes largest = kNone - Lanes{};
  IntLanes numbers{};  // -1 for each
  for_lanes(scores, std::numeric_limits<float>::quiet_NaN(), [&](const Lanes& each, std::size_t) {
    largest = larger(each, largest);
    numbers += each == each;
  });
  Census census{static_cast<std::int64_t>(scores.size()), kNone};
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    census.largest = std::max(census.largest, largest[lane]);
    census.nans += numbers[lane];
  }
  return census;
}

void scale_by_temperature(std::span<float> scores, double temperature) {
  const auto divisor = static_cast<float>(temperature);
  for (float& score : scores) score /= divisor;
}

TokenId argmax(std::span<const float> scores) {
  return static_cast<TokenId>(std::ranges::max_element(scores) - scores.begin());
}

}  // namespace plumbline::native
