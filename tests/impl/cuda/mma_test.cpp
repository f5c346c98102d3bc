// The emulated step of the tensor cores: where elements lie, as PTX's documentation draws it, and what sums
// it makes. No device was asked whether its layout is this one.
#include "impl/cuda/mma.cuh"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <catch2/catch.hpp>

#include "impl/cuda/attention/mma.h"
#include "impl/cuda/device.cuh"
#include "impl/cuda/element.h"
#include "impl/cuda/launch.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

struct Fragments {
  std::uint32_t a[4];
  std::uint32_t b[2];
  float d[4];
};

// Each warp of the block one mma.
void mma_kernel(Fragments* lanes) {
  Fragments& own = lanes[threadIdx.x];
  mma_bf16(own.d, own.a, own.b);
}

struct Matrices {
  float a[16][16] = {};
  float b[16][8] = {};
  float d[16][8] = {};
};

// Where the documentation's figures draw an element: (lane, number of the element in its fragment).
struct Place {
  std::size_t lane;
  std::size_t element;
};
Place place_of_a(int row, int column) {
  const int quarter = (row < 8 ? 0 : 1) + (column < 8 ? 0 : 2);
  return {static_cast<std::size_t>(4 * (row & 7) + ((column & 7) >> 1)),
          static_cast<std::size_t>(2 * quarter + (column & 1))};
}
Place place_of_b(int row, int column) {
  return {static_cast<std::size_t>(4 * column + ((row & 7) >> 1)),
          static_cast<std::size_t>((row < 8 ? 0 : 2) + (row & 1))};
}
Place place_of_d(int row, int column) {
  return {static_cast<std::size_t>(4 * (row & 7) + (column >> 1)),
          static_cast<std::size_t>((row < 8 ? 0 : 2) + (column & 1))};
}

void put_half(std::uint32_t* words, std::size_t element, float value) {
  const std::uint32_t bits = narrow<Bf16>(value).bits;
  words[element / 2] |= element % 2 == 0 ? bits : bits << 16;
}

std::vector<Matrices> multiplied(std::vector<Matrices> warps) {
  std::vector<Fragments> lanes(warps.size() * 32);
  for (std::size_t w = 0; w < warps.size(); ++w) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 16; ++column) {
        const Place a = place_of_a(row, column);
        put_half(lanes[w * 32 + a.lane].a, a.element, warps[w].a[row][column]);
        if (column >= 8) continue;
        const Place b = place_of_b(row, column), d = place_of_d(row, column);
        put_half(lanes[w * 32 + b.lane].b, b.element, warps[w].b[row][column]);
        lanes[w * 32 + d.lane].d[d.element] = warps[w].d[row][column];
      }
    }
  }
  const DeviceArray<Fragments> device(lanes);
  LaunchShape shape;
  shape.threads = static_cast<std::int64_t>(lanes.size());
  launch("mma", mma_kernel, shape, nullptr, device.data());
  lanes = device.read();
  for (std::size_t w = 0; w < warps.size(); ++w) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) {
        const Place d = place_of_d(row, column);
        warps[w].d[row][column] = lanes[w * 32 + d.lane].d[d.element];
      }
    }
  }
  return warps;
}

}  // namespace

TEST_CASE("The emulated mma: elements lie where the documentation's figures have them") {
  const auto is = [](Place place, std::size_t lane, std::size_t element) {
    return place.lane == lane && place.element == element;
  };
  CHECK(is(place_of_a(0, 0), 0, 0));
  CHECK(is(place_of_a(0, 7), 3, 1));
  CHECK(is(place_of_a(8, 0), 0, 2));
  CHECK(is(place_of_a(0, 8), 0, 4));
  CHECK(is(place_of_a(15, 15), 31, 7));
  CHECK(is(place_of_b(0, 0), 0, 0));
  CHECK(is(place_of_b(7, 0), 3, 1));
  CHECK(is(place_of_b(8, 0), 0, 2));
  CHECK(is(place_of_b(15, 7), 31, 3));
  CHECK(is(place_of_d(0, 1), 0, 1));
  CHECK(is(place_of_d(1, 0), 4, 0));
  CHECK(is(place_of_d(8, 0), 0, 2));
  CHECK(is(place_of_d(15, 7), 31, 3));
}

TEST_CASE("The emulated mma: integers give the plain matrix product, under every schedule") {
  std::mt19937 random(31);
  std::uniform_int_distribution<int> integers(-8, 8);
  std::vector<Matrices> warps(5);
  for (Matrices& m : warps) {
    for (auto& row : m.a) std::ranges::generate(row, [&] { return static_cast<float>(integers(random)); });
    for (auto& row : m.b) std::ranges::generate(row, [&] { return static_cast<float>(integers(random)); });
    for (auto& row : m.d) std::ranges::generate(row, [&] { return static_cast<float>(integers(random)); });
  }
  under_all_schedules([&](const std::string& name) {
    CAPTURE(name);
    const std::vector<Matrices> got = multiplied(warps);
    for (std::size_t w = 0; w < warps.size(); ++w) {
      for (int row = 0; row < 16; ++row) {
        for (int column = 0; column < 8; ++column) {
          float expected = warps[w].d[row][column];
          for (int k = 0; k < 16; ++k) expected += warps[w].a[row][k] * warps[w].b[k][column];
          CAPTURE(w, row, column);
          REQUIRE(got[w].d[row][column] == expected);
        }
      }
    }
  });
}

TEST_CASE(
    "The emulated mma: a sum is cut off toward zero, and what is no number stays in its row or column") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Matrices m;
  m.d[0][0] = 1.0f;  // and a product of 3/4 of its last place: rounded it would be the next one
  m.a[0][0] = 0x1.8p-12f;
  m.b[0][0] = 0x1p-12f;
  m.d[1][1] = -1.0f;
  m.a[1][1] = -0x1.8p-12f;
  m.b[1][1] = 0x1p-12f;
  m.a[2][3] = kInfinity;
  m.b[5][6] = std::numeric_limits<float>::quiet_NaN();
  m.a[4][0] = 0x1p-70f;  // a subnormal sum
  m.b[0][4] = 0x1p-70f;
  const Matrices got = multiplied({m})[0];
  CHECK(got.d[0][0] == 1.0f);
  CHECK(got.d[1][1] == -1.0f);
  CHECK(got.d[4][4] == 0x1p-140f);
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      CAPTURE(row, column);
      CHECK(std::isnan(got.d[row][column]) == (row == 2 || column == 6));  // infinity times 0
    }
  }
}
