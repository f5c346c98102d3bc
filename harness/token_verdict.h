// Verdicts on token choices: the most likely token at every position, against truth's own.
#pragma once

#include <cstdint>
#include <span>

#include "harness/tensor.h"

namespace plumbline {

enum class TokenVerdict : std::uint8_t {
  match,     // the same token, its row of logits within the ceiling
  drift,     // the same token, logits beyond the ceiling
  tie_flip,  // another token, and in truth the two are at most two ceilings apart
  wrong,     // another token, or logits that are no numbers
};

struct TokenRow {
  TokenVerdict verdict = TokenVerdict::wrong;
  std::int64_t expected = -1, actual = -1;  // token ids; the lowest wins a tie
  double margin = 0;                        // of truth's best two logits
  double margin_ulp = 0;                    // the same in spacings of f32 at the best logit
  double gap = 0;      // what truth gives `expected` more than `actual`; 0 for the same token
  double kl = 0;       // KL(softmax(expected) || softmax(actual)), nats
  double max_abs = 0;  // of the row's logits
  double ceiling = 0;  // for it
  int top5_shared = 0, top50_shared = 0;  // ids among the best of both
  int top5_of = 0, top50_of = 0;          // 5 and 50, or the vocabulary's size where that is less
};

// One row of logits, [vocab] each. `ceiling` is what the row's logits may be off by.
TokenRow judge_token(const TensorView& actual, const TensorView& expected, double ceiling);

// Over many rows.
struct TokenSummary {
  std::int64_t rows = 0, match = 0, drift = 0, tie_flip = 0, wrong = 0;
  double largest_kl = 0, mean_kl = 0;
  double top5 = 1, top50 = 1;     // shares of the best ids that both sides have, over all rows
  double least_margin_ulp = 0;    // over all rows
  double largest_flip_ulp = 0;    // margin of truth at tie-flips: 0 where there are none
  std::int64_t first_wrong = -1;  // row
  double tie_flip_share() const {
    return rows == 0 ? 0 : static_cast<double>(tie_flip) / static_cast<double>(rows);
  }
};
TokenSummary summarize(std::span<const TokenRow> rows);

}  // namespace plumbline
