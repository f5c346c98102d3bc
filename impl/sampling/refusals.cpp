#include "impl/sampling/refusals.h"

#include <cmath>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {

void refuse_nans(std::uint64_t row, std::int64_t nans, std::int64_t vocab, std::int64_t first,
                 const char* where) {
  throw Error(
      fmt::format("row {}: {} of {} logits are NaN, the first that of token {}", row, nans, vocab, first),
      where, "nothing was drawn");
}

void refuse_all_dropped(std::uint64_t row, std::int64_t vocab, const char* where) {
  throw Error(fmt::format("row {}: none of {} logits is above -inf", row, vocab), where);
}

void refuse_infinite(std::uint64_t row, TokenId token, const char* where) {
  throw Error(fmt::format("row {}: the logit of token {} is infinite", row, token), where);
}

void require_finite_scores(std::uint64_t row, double temperature, float largest) {
  if (std::isfinite(largest / static_cast<float>(temperature))) return;
  throw Error(fmt::format("row {}: a temperature of {} makes the largest logit, {}, infinite", row,
                          temperature, largest),
              "sample");
}

}  // namespace plumbline::native
