// What a cache stores in a half type, against the harness's own rounding.
#include "impl/half.h"

#include <bit>
#include <cmath>
#include <numeric>
#include <random>

#include <catch2/catch.hpp>

#include "harness/half.h"
#include "impl/cache.h"

using namespace plumbline;
using namespace plumbline::native;

namespace {

std::uint16_t narrowed(DType dtype, float value) {
  std::uint16_t half = 0;
  narrow(dtype, &value, 1, reinterpret_cast<std::byte*>(&half));
  return half;
}

float wide(DType dtype, std::uint16_t half) {
  return dtype == DType::f16 ? f16_to_f32(half) : bf16_to_f32(half);
}

bool rounds_right(DType dtype, float value) {
  const std::uint16_t half = narrowed(dtype, value);
  if (std::isnan(value)) return std::isnan(wide(dtype, half));
  return half == (dtype == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value));
}

}  // namespace

TEST_CASE("cache: every half widens exactly and narrows back; ties and their neighbours round right") {
  std::vector<std::uint16_t> halves(65536);
  std::iota(halves.begin(), halves.end(), std::uint16_t{0});
  std::vector<float> back(halves.size());
  for (const DType dtype : {DType::bf16, DType::f16}) {
    widen(dtype, reinterpret_cast<const std::byte*>(halves.data()), 65536, back.data());
    int wrong = 0;
    for (std::size_t i = 0; i < back.size(); ++i) {
      const float expected = wide(dtype, halves[i]);
      const bool both_nan = std::isnan(expected) && std::isnan(back[i]);
      const bool same = std::bit_cast<std::uint32_t>(expected) == std::bit_cast<std::uint32_t>(back[i]);
      wrong += both_nan || (same && narrowed(dtype, back[i]) == halves[i]) ? 0 : 1;
      // Halfway to the next number, and the f32 numbers beside that.
      const auto middle = std::bit_cast<float>(std::bit_cast<std::uint32_t>(expected) +
                                               (dtype == DType::f16 ? 0x1000u : 0x8000u));
      for (const float value : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 2 * middle)}) {
        wrong += rounds_right(dtype, value) ? 0 : 1;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("cache: f32 of any bits round to the halves that the harness gives") {
  std::mt19937 random(1);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    int wrong = 0;
    for (int i = 0; i < 500000; ++i) {
      // All exponents, and those of f16's numbers and subnormal ones once more.
      const auto bits = static_cast<std::uint32_t>(random());
      const float around = std::ldexp(1.0f + static_cast<float>(bits & 0xffffffu) * 0x1p-24f,
                                      static_cast<int>(bits >> 24) % 44 - 27);
      wrong += rounds_right(dtype, std::bit_cast<float>(bits)) && rounds_right(dtype, around) ? 0 : 1;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("cache: keys and values are rounded as they are written, and views show what is stored") {
  const auto cache = make_native_cache({CacheKind::concat, 1, 0, DType::bf16}, {1, 1, 2}, 1);
  // Between the bf16 numbers 1 and 1 + 2^-7: a tie to even, and one just above it.
  const std::vector<float> keys{1.0f + 0x1p-8f, 1.0f + 0x1.01p-8f}, values{-3.0f, 0.1f};
  cache->write_prefill(0, keys, values);
  CHECK(cache->read_key(0, 0).dtype() == DType::bf16);
  CHECK(cache->view(0, 0).runs[0].keys[0] == 1.0f);
  CHECK(cache->view(0, 0).runs[0].keys[1] == 1.0f + 0x1p-7f);
}
