#include "harness/half.h"

#include <bit>
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/dtype.h"

using namespace plumbline;

TEST_CASE("half: every half value survives the way through f32 and back") {
  int bf16_lost = 0, f16_lost = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float from_bf16 = bf16_to_f32(half), from_f16 = f16_to_f32(half);
    if (!std::isnan(from_bf16)) bf16_lost += f32_to_bf16(from_bf16) != half ? 1 : 0;
    if (!std::isnan(from_f16)) f16_lost += f32_to_f16(from_f16) != half ? 1 : 0;
  }
  CHECK(bf16_lost == 0);
  CHECK(f16_lost == 0);
}

TEST_CASE("half: between two values the nearer is taken, half way the even one") {
  // A ladder over all positive finite values: just below, at and above each middle.
  const auto check_ladder = [](auto to_half, auto to_f32, std::uint16_t largest) {
    int wrong = 0;
    for (std::uint16_t low = 0; low < largest; ++low) {
      const auto high = static_cast<std::uint16_t>(low + 1);
      const double middle = (static_cast<double>(to_f32(low)) + static_cast<double>(to_f32(high))) / 2;
      const auto at = static_cast<float>(middle);       // one bit more than the half type has: exact
      if (static_cast<double>(at) != middle) continue;  // f32's own subnormals
      const std::uint16_t even = low % 2 == 0 ? low : high;
      wrong += to_half(at) != even ? 1 : 0;
      wrong += to_half(std::nextafter(at, 0.0f)) != low ? 1 : 0;
      wrong += to_half(std::nextafter(at, std::numeric_limits<float>::max())) != high ? 1 : 0;
    }
    return wrong;
  };
  CHECK(check_ladder(f32_to_f16, f16_to_f32, 0x7BFF) == 0);
  CHECK(check_ladder(f32_to_bf16, bf16_to_f32, 0x7F7F) == 0);
}

TEST_CASE("half: overflow, infinities, NaN and signs") {
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(f32_to_f16(65519.996f) == 0x7BFF);
  CHECK(f32_to_f16(65520.0f) == 0x7C00);
  CHECK(f32_to_f16(-inf) == 0xFC00);
  CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(f32_to_bf16(-0.0f) == 0x8000);
  CHECK(f32_to_f16(-0.0f) == 0x8000);
  CHECK(std::isnan(f16_to_f32(f32_to_f16(NAN))));
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(NAN))));
  // A NaN whose payload lies in the bits that are cut off stays one.
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7F800001u)))));
}
