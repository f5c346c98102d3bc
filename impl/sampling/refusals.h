// What no sampler draws from, and how it says so: Error with the batch's row. `where` is the error's.
#pragma once

#include <cstdint>

#include "harness/model.h"

namespace plumbline::native {

// Where a probe's sink has left something that is refused.
inline constexpr const char* kLeftBySink = "sample: as the probe's sink left the logits";

[[noreturn]] void refuse_nans(std::uint64_t row, std::int64_t nans, std::int64_t vocab, std::int64_t first,
                              const char* where);
[[noreturn]] void refuse_all_dropped(std::uint64_t row, std::int64_t vocab, const char* where);
[[noreturn]] void refuse_infinite(std::uint64_t row, TokenId token, const char* where);
// Division by a positive number keeps the order: the largest becomes +inf first, and -inf last. (NaN: 0 / 0,
// where the temperature is 0 in f32.)
void require_finite_scores(std::uint64_t row, double temperature, float largest);

}  // namespace plumbline::native
