#include "impl/sampling/penalties.h"

#include <algorithm>
#include <limits>

#include <catch2/catch.hpp>

#include "tests/impl/sampling_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Floats penalized(Floats scores, const Ids& history, std::int64_t generated, const SamplingParams& params) {
  Penalties().apply(scores, history, generated, params);
  return scores;
}

// Token by token, each counted anew.
Floats plainly_penalized(Floats scores, const Ids& history, std::int64_t generated,
                         const SamplingParams& params) {
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    float& score = scores[i];
    const auto times = [&](auto begin) { return static_cast<float>(std::count(begin, history.end(), id)); };
    const auto penalty = static_cast<float>(params.repetition_penalty);
    if (times(history.begin()) > 0) score = score < 0 ? score * penalty : score / penalty;
    const float count = times(history.end() - generated);
    if (count > 0) score = score - static_cast<float>(params.frequency_penalty) * count;
    if (count > 0) score = score - static_cast<float>(params.presence_penalty);
    for (const LogitBias& each : params.logit_bias) {
      if (each.token == id) score += static_cast<float>(each.bias);
    }
  }
  return scores;
}

}  // namespace

TEST_CASE("sampler: the penalty falls once on each distinct token, by the sign of its logit") {
  SamplingParams params;
  params.repetition_penalty = 2.0;
  CHECK(penalized({2, -2, 3, 0}, {0, 1, 0, 1, 3}, 0, params) == Floats{1, -4, 3, 0});
}

TEST_CASE("sampler: frequency and presence penalties look at the generated tokens alone") {
  SamplingParams params;
  params.frequency_penalty = 0.5;
  const Floats logits{1, 1, 1, 1};
  const Ids history{0, 0, 1, 2, 1, 1};  // prompt: 0 0 1; generated: 2 1 1
  CHECK(penalized(logits, history, 3, params) == Floats{1, 0, 0.5, 1});
  CHECK(penalized(logits, history, 0, params) == logits);
  params.frequency_penalty = 0;
  params.presence_penalty = 0.25;
  CHECK(penalized(logits, history, 3, params) == Floats{1, 0.75, 0.75, 1});
  params.presence_penalty = -0.25;  // encourages
  CHECK(penalized(logits, history, 6, params) == Floats{1.25, 1.25, 1.25, 1});
}

TEST_CASE("sampler: a bias is added, and one of -inf bans") {
  SamplingParams params;
  params.logit_bias = {{2, 1.5}, {0, -kInf}};
  CHECK(penalized({1, 2, 3}, {}, 0, params) == Floats{-kInf, 2, 4.5});
  CHECK(penalized({-kInf, 2, -kInf}, {}, 0, params) == Floats{-kInf, 2, -kInf});
}

TEST_CASE("sampler: penalties come in their order: repetition, frequency, presence, bias") {
  SamplingParams params;
  params.repetition_penalty = 2;
  params.frequency_penalty = 3;
  params.presence_penalty = 1;
  params.logit_bias = {{0, 10}};
  // 8 / 2 - 3 * 1 - 1 + 10; a penalty after the subtraction, or after the bias, gives another number.
  CHECK(penalized({8}, {0}, 1, params) == Floats{10});
  // The sign is that of the logit before anything was subtracted: 2 / 2 - 3 * 2 - 1.
  params.logit_bias.clear();
  CHECK(penalized({2}, {0, 0}, 2, params) == Floats{-6});
  // Each step is rounded to f32: the presence penalty is lost beside 2^24, taken alone.
  params = {};
  params.frequency_penalty = -0x1p24;
  params.presence_penalty = -1;
  CHECK(penalized({1}, {0}, 1, params) == Floats{0x1p24f});
}

TEST_CASE("sampler: penalties are those of counting each token anew, one call after another") {
  Penalties penalties;
  unsigned seed = 1;
  for (const std::size_t vocab : {1, 2, 7, 100, 3000, 50}) {
    for (const auto& [name, row] : awkward_rows(vocab, seed++)) {
      for (const std::int64_t length : {0, 1, 9, 200}) {
        INFO(name << ", " << vocab << " tokens, history of " << length);
        const auto wide = std::min<std::int64_t>(std::ssize(row), 30);  // so that tokens repeat
        const Ids history = some_tokens(static_cast<std::size_t>(length), wide, seed);
        for (int which = 0; which < 16; ++which) {
          SamplingParams params;
          if (which & 1) params.repetition_penalty = 1.3;
          if (which & 2) params.frequency_penalty = 0.3;
          if (which & 4) params.presence_penalty = -0.7;
          if (which & 8) params.logit_bias = {{static_cast<TokenId>(vocab - 1), -3.3}};
          CHECK(Penalties::any(params) == (which != 0));
          Floats actual = row;
          penalties.apply(actual, history, length / 2, params);
          CHECK(same_bits(actual, plainly_penalized(row, history, length / 2, params)));
        }
      }
    }
  }
}
