#include "impl/cuda/sampling/rules.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "impl/cuda/sampling/board.h"
#include "impl/sampling/candidates.h"
#include "tests/impl/cuda/sampler_support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> floats_to_one() {
  std::mt19937 generator(5);
  std::uniform_real_distribution<float> mantissa(1, 2);
  std::vector<float> values{0.0f, 1.0f, std::nextafter(1.0f, 0.0f), 0x1p-57f, 0x1p-58f, 0x1p-126f};
  for (int exponent = -1; exponent >= -70; --exponent) {
    for (int i = 0; i < 20; ++i) values.push_back(std::ldexp(mantissa(generator), exponent));
  }
  return values;
}

}  // namespace

TEST_CASE("sampling sums: a float is what its units say, and its limbs make it up") {
  for (const float value : floats_to_one()) {
    INFO(value);
    const Fixed fixed = fixed_of(value);
    CHECK(fixed.lo <= kHalfMask);
    const long double units = std::ldexp(static_cast<long double>(fixed.hi), 40) + fixed.lo;
    const long double exact = std::ldexp(static_cast<long double>(value), 80);
    if (value >= 0x1p-57f || value == 0.0f) CHECK(units == exact);
    CHECK(units <= std::max(exact, value > 0 ? 1.0L : 0.0L));
    CHECK(exact - units < 1);
    if (value >= 0x1p-57f) CHECK(as_f64(fixed) == static_cast<double>(value));
    std::uint32_t limbs[kLimbs];
    for (int i = 0; i < kLimbs; ++i) limbs[i] = limb_of(fixed, i);
    const Fixed again = of_limbs(limbs[0], limbs[1], limbs[2], limbs[3]);
    CHECK((again.hi == fixed.hi && again.lo == fixed.lo));
    for (const std::uint32_t limb : limbs) CHECK(limb <= std::uint32_t{1} << kLimbBits);
  }
  CHECK(is_zero(fixed_of(-1.0f)));
  CHECK(is_zero(fixed_of(NAN)));
  CHECK(as_f64(fixed_of(kInf)) == 1.0);
}

TEST_CASE("sampling sums: order is of no account, and the largest vocabulary fits") {
  std::vector<float> values = floats_to_one();
  Fixed forwards, backwards;
  long double exact = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    forwards = plus(forwards, fixed_of(values[i]));
    backwards = plus(backwards, fixed_of(values[values.size() - 1 - i]));
    exact += values[i];
  }
  CHECK((forwards.hi == backwards.hi && forwards.lo == backwards.lo));
  CHECK(as_f64(forwards) == Approx(static_cast<double>(exact)).epsilon(1e-15));
  const Fixed most = times(kMostSummands, fixed_of(1.0f));
  CHECK(as_f64(most) == static_cast<double>(kMostSummands));
  const Fixed low = times(kMostSummands, Fixed{0, kHalfMask});
  CHECK(as_f64(low) == Approx(std::ldexp(static_cast<double>(kMostSummands), -40)));
  CHECK(std::uint64_t{1u << kLimbBits} * kLimbSummands <= 0xffffffffu);
}

TEST_CASE("sampling order: keys rise with the scores, and back") {
  std::vector<float> scores{-kInf, -std::numeric_limits<float>::max(), -1.5f, -1e-45f, 0.0f, 1e-45f, 1e-38f,
                            0.5f,  std::numeric_limits<float>::max(),  kInf};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    CHECK(score_of(key_of(scores[i])) == scores[i]);
    for (std::size_t j = 0; j < i; ++j) CHECK(key_of(scores[j]) < key_of(scores[i]));
  }
  CHECK(key_of(-0.0f) == key_of(0.0f));
  CHECK_FALSE(is_kept(-kInf));
  CHECK_FALSE(is_kept(NAN));
  for (const std::uint32_t rank : {0u, 0xffffffffu, 0x12345678u, 0x9abcdef0u}) {
    std::uint32_t made = 0;
    for (int digit = 0; digit < kDigits; ++digit) {
      CHECK(prefix_of(rank, digit) == made);
      CHECK(digit_of(rank, digit) < static_cast<std::uint32_t>(kBins));
      made = (made << digit_bits(digit)) | digit_of(rank, digit);
    }
    CHECK(made == rank);
  }
}

TEST_CASE("sampling order: the census names the largest, its lowest id, the NaNs and the first of them") {
  const std::vector<float> scores{1, NAN, 7, -0.0f, 7, NAN, -kInf};
  Census census;
  for (std::size_t i = scores.size(); i-- > 0;)
    census = merged(census_of(scores[i], static_cast<std::uint32_t>(i)), census);
  CHECK(largest_of(census) == 7.0f);
  CHECK(argmax_of(census) == 2);
  CHECK(census.nans == 2);
  CHECK(census.first_nan == 1);
  CHECK(largest_of(Census{}) == -kInf);
  CHECK(argmax_of(merged(census_of(0.0f, 4), census_of(-0.0f, 3))) == 3);
}

TEST_CASE("sampling order: f16 widens exactly, all of it") {
  std::size_t different = 0;
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float mine = widen(F16{static_cast<std::uint16_t>(bits)});
    const float other = f16_to_f32(static_cast<std::uint16_t>(bits));
    different += (std::isnan(other) ? !std::isnan(mine) : bits_of(mine) != bits_of(other)) ? 1 : 0;
  }
  CHECK(different == 0);
}

TEST_CASE("sampling rules: the softmax's weights have the bits of the CPU's") {
  Floats scores = random_values<float>(4096, 3, 30.0f);
  scores.push_back(-kInf);
  scores.push_back(-1e30f);
  const float largest = *std::max_element(scores.begin(), scores.end());
  native::Candidates candidates;
  scores.erase(std::remove(scores.begin(), scores.end(), -kInf), scores.end());
  candidates.take_all(scores);
  const auto weights = candidates.weights();
  std::size_t different = 0;
  for (std::size_t i = 0; i < scores.size(); ++i)
    different += bits_of(weights[i]) != bits_of(weight_of(scores[i], largest)) ? 1 : 0;
  CHECK(different == 0);
  CHECK(weight_of(-kInf, largest) == 0.0f);
  CHECK(weight_of(largest, largest) == 1.0f);
}

TEST_CASE("sampling rules: of equal tokens at the cut those are dropped that fit below the limit") {
  for (const float weight : {1.0f, 0.25f, 0.3f, 0x1p-60f}) {
    for (const Word ties : {Word{0}, Word{1}, Word{2}, Word{7}, Word{1000}}) {
      for (const double share : {-0.1, 0.0, 0.1, 0.5, 0.75, 0.999, 1.0, 2.0}) {
        Cut cut;
        cut.below = fixed_of(0.5f);
        cut.limit = 0.5 + share * static_cast<double>(ties) * static_cast<double>(weight);
        Word expected = 0;
        Fixed sum = cut.below;
        for (Word tie = 1; tie < ties; ++tie) {
          sum = plus(sum, fixed_of(weight));
          if (as_f64(sum) > cut.limit) break;
          expected = tie;
        }
        INFO(weight << " " << ties << " " << share);
        CHECK(dropped_ties(cut, fixed_of(weight), ties) == expected);
      }
    }
  }
}

TEST_CASE("sampling launches: any device takes them, and every id lies in one chunk") {
  for (const std::int64_t vocab : {1, 2, 5, 1023, 1024, 1025, 151936, 152064, 1 << 22}) {
    const std::int64_t chunks = chunks_of(vocab);
    CHECK(chunks * kChunk >= vocab);
    CHECK((chunks - 1) * kChunk < vocab);
    CHECK(fits(shape_of_chunks(chunks)));
    CHECK(fits(shape_of_bins(chunks)));
    CHECK(fits(shape_of_cut(chunks)));
    CHECK(fits(shape_of_penalties(vocab)));
    CHECK(shape_of_penalties(vocab).blocks_x * kSampleThreads >= vocab);
  }
  CHECK(fits(shape_of_one_block()));
}
