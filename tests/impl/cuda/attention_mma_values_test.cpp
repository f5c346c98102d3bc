// Attention on tensor cores, as emulated: what goes into them, and numbers that are none.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <catch2/catch.hpp>

#include "impl/cuda/attention/mma.h"
#include "tests/impl/cuda/attention_check.h"
#include "tests/impl/cuda/attention_mma_support.h"
#include "tests/impl/cuda/attention_support.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

bool same_or_both_nan(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : same_bits(a, b);
}

// In the third block of keys two values are far larger than the others, and their sum is 0: what is left
// shows the order of sums even when it is rounded to bf16.
void make_order_matter(Problem& p) {
  std::ranges::fill(p.queries, 0.0f);
  for (std::int64_t i = 0; i < p.kv_heads * p.head_dim; ++i) {
    float* value = &p.values[0][static_cast<std::size_t>(130 * p.kv_heads * p.head_dim + i)];
    *value *= 0x1p20f;
    value[40 * p.kv_heads * p.head_dim] = -*value;
  }
}

// One number of the cache is replaced: those who see it have it, as without tensor cores; the others' bits
// stay.
void check_one_bad(const Problem& p, const Form& form, const Result& clean, std::int64_t bad, float what,
                   bool in_keys) {
  const std::int64_t past = p.steps[0].past;
  Problem other = p;
  auto& numbers = in_keys ? other.keys[0] : other.values[0];
  numbers[static_cast<std::size_t>(bad * p.kv_heads * p.head_dim + 3)] = what;  // of the first kv head
  Form lanes = form;
  lanes.tensor_core_rows = 0;
  const std::vector<float> without = attend(other, lanes, 1).context, got = attend(other, form, 1).context;
  for (std::int64_t i = 0; i < p.rows() * p.heads; ++i) {
    const std::int64_t row = i / p.heads, head = i % p.heads;
    const std::vector<float> expected = expected_of(other, 0, row, head, true).context;
    const bool reached = sees(p, past + row, bad) && head < p.heads / p.kv_heads;
    for (std::int64_t d = 0; d < p.head_dim; ++d) {
      const auto at = static_cast<std::size_t>(i * p.head_dim + d);
      CAPTURE(p.window, bad, what, in_keys, row, head, d);
      REQUIRE(same_or_both_nan(got[at], expected[static_cast<std::size_t>(d)]));
      if (!reached) {
        REQUIRE(same_bits(got[at], clean.context[at]));
      } else if (!std::isfinite(without[at])) {
        REQUIRE(same_or_both_nan(got[at], without[at]));
      }
    }
  }
}

}  // namespace

TEST_CASE("Attention on tensor cores: what is no number reaches those who see it, as without tensor cores") {
  Random random(54);
  constexpr float kKinds[] = {kNan, kInfinity, -kInfinity};
  unsigned number = 0;
  for (const std::int64_t window : {0, 9, 70, 150}) {
    Problem p = halves(random, 16, 36, window == 150 ? 170 : 64, window);
    if (window == 150) make_order_matter(p);
    for (const std::int64_t bad : {0, 40, 47, 64, 66, 80, 99, 190}) {
      if (bad >= p.length(0)) continue;
      Form form = tiles_of_16(1);
      form.partial = number++ % 2 == 0;
      const Result clean = attend(p, form, 1);
      const float what = kKinds[number % 3];
      check_one_bad(p, form, clean, bad, what, false);
      if (number % 4 == 0) check_one_bad(p, form, clean, bad, what, true);
    }
  }
}

TEST_CASE("Attention on tensor cores: a weight's three terms are the weight") {
  const auto sum_of_terms = [](const WeightTerms& terms, int half) {
    double sum = 0;
    for (const std::uint32_t pair : terms.pairs) {
      sum += double{widen(Bf16{static_cast<std::uint16_t>(half == 0 ? pair & 0xffffu : pair >> 16)})};
    }
    return sum;
  };
  Random random(51);
  for (int i = 0; i < 200000; ++i) {
    const float a = float_of(static_cast<std::uint32_t>(pick(random, 0, 0x3f800000)));  // 0 to 1
    const float b = float_of(static_cast<std::uint32_t>(random()));
    if (!std::isfinite(b)) continue;
    const WeightTerms terms = terms_of(a, b);
    CAPTURE(a, b);
    REQUIRE(std::abs(sum_of_terms(terms, 0) - double{a}) < 0x1p-133);
    REQUIRE(std::abs(sum_of_terms(terms, 1) - double{b}) < 0x1p-133);
    if (std::abs(a) >= 0x1p-109f) REQUIRE(sum_of_terms(terms, 0) == double{a});
  }
  CHECK(sum_of_terms(terms_of(kInfinity, -kInfinity), 0) == kInfinity);
  CHECK(sum_of_terms(terms_of(kInfinity, -kInfinity), 1) == -kInfinity);
  CHECK(std::isnan(sum_of_terms(terms_of(kNan, float_of(0x7f800001u)), 0)));
  CHECK(std::isnan(sum_of_terms(terms_of(kNan, float_of(0x7f800001u)), 1)));
  CHECK(sum_of_terms(terms_of(std::numeric_limits<float>::max(), 0), 0) ==
        double{std::numeric_limits<float>::max()});
}

TEST_CASE("Attention on tensor cores: every bf16 that is no finite number is found") {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const bool finite = std::isfinite(widen(Bf16{static_cast<std::uint16_t>(bits)}));
    REQUIRE((not_finite(bits) == 0) == finite);
    REQUIRE((not_finite(bits << 16 | 0x7f7fu) == 0) == finite);
  }
}

// Weights that somebody wrote, who listens: they need not be a softmax's.
TEST_CASE("Attention on tensor cores: weights that are infinite, huge or negative") {
  Random random(55);
  const Problem p = halves(random, 16, 1, 99, 0);
  std::vector<float> probs(static_cast<std::size_t>(p.heads * 100), 0.0f);
  for (const float weight : {kInfinity, -kInfinity, kNan, -3.0f, 3e38f}) {
    probs[40] = weight;  // of the first head
    const std::vector<float> sums = block_sums(p, probs);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::size_t d = i % 16;
      const float product = weight * p.values[0][40 * 32 + d];
      CAPTURE(weight, i);
      if (i >= 16) {
        REQUIRE(sums[i] == 0);
      } else if (std::isfinite(product)) {
        REQUIRE(std::abs(sums[i] - product) <= 0x1p-22f * std::abs(product));
      } else if (std::isfinite(weight)) {
        REQUIRE(!std::isfinite(sums[i]));  // beyond the largest float
      } else {
        REQUIRE((std::isnan(product) ? std::isnan(sums[i]) : sums[i] == product));
      }
    }
  }
}
