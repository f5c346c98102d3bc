// The kernels over half types: products have the bits of f32 kernels over widened weights; rounding is
// impl/half.h's, which half_test.cpp holds to the harness's own.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <catch2/catch.hpp>

#include "impl/cpu/isa.h"
#include "impl/half.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

void matmul(const Kernels& kernels, const MatmulOf<Bf16>& args) {
  kernels.matmul_bf16(args);
}
void matmul(const Kernels& kernels, const MatmulOf<F16>& args) {
  kernels.matmul_f16(args);
}

template <typename Half>
constexpr DType dtype_of = DType::f16;
template <>
constexpr DType dtype_of<Bf16> = DType::bf16;

template <typename Half>
std::vector<Half> narrowed(const std::vector<float>& values) {
  std::vector<Half> halves(values.size());
  narrow(dtype_of<Half>, values.data(), static_cast<std::int64_t>(values.size()),
         reinterpret_cast<std::byte*>(halves.data()));
  return halves;
}

template <typename Half>
std::vector<float> widened(const std::vector<Half>& halves) {
  std::vector<float> values(halves.size());
  widen(dtype_of<Half>, reinterpret_cast<const std::byte*>(halves.data()),
        static_cast<std::int64_t>(halves.size()), values.data());
  return values;
}

struct Product {
  std::int64_t rows, outs, depth;
};

// Rows lie further apart than they are long, and what lies between them is never read: it is NaN.
template <typename Half>
void check_product(const Product& shape, std::int64_t apart, bool bias, bool ahead) {
  INFO(dtype_name(dtype_of<Half>) << ", " << shape.rows << " rows, " << shape.outs << " outs, depth "
                                  << shape.depth << ", " << apart << " apart");
  const auto [rows, outs, depth] = shape;
  const std::int64_t stride = depth + apart;
  std::vector<float> x = random_floats(static_cast<std::size_t>(rows * stride), 1);
  std::vector<float> w = random_floats(static_cast<std::size_t>(outs * stride), 2);
  const std::vector<float> b = random_floats(static_cast<std::size_t>(outs), 3);
  w[0] = 0x1.8p-24f;  // subnormal in f16
  for (std::vector<float>* each : {&x, &w}) {
    for (std::size_t i = 0; i < each->size(); ++i)
      if (static_cast<std::int64_t>(i) % stride >= depth) (*each)[i] = std::nanf("");
  }
  const std::vector<Half> halves = narrowed<Half>(w);
  const std::vector<float> wide = widened(halves);
  const std::int64_t y_stride = outs + apart;
  std::vector<float> expected(static_cast<std::size_t>(rows * y_stride), -1.0f), actual = expected;
  const float* add = bias ? b.data() : nullptr;
  kernels_for("scalar").matmul(
      {x.data(), stride, rows, wide.data(), stride, outs, depth, add, expected.data(), y_stride, nullptr});
  for (const std::string& isa : available_isas()) {
    std::ranges::fill(actual, -1.0f);
    matmul(kernels_for(isa), {x.data(), stride, rows, halves.data(), stride, outs, depth, add, actual.data(),
                              y_stride, ahead && apart == 0 ? halves.data() : nullptr});
    INFO(isa);
    CHECK(same_bits(actual, expected));
  }
}

// Every half, what lies halfway to the next, the f32 numbers beside that, and f32 of any bits.
std::vector<float> telling_floats() {
  std::vector<float> values;
  for (std::uint32_t half = 0; half < 65536; ++half) {
    const auto bits = static_cast<std::uint16_t>(half);
    for (const std::uint32_t wide :
         {std::bit_cast<std::uint32_t>(f16_to_f32(bits)), std::bit_cast<std::uint32_t>(bf16_to_f32(bits))}) {
      for (const std::uint32_t middle : {0u, 0x1000u, 0x8000u}) {
        for (const std::uint32_t beside : {0u, 1u, ~0u})
          values.push_back(std::bit_cast<float>(wide + middle + beside));
      }
    }
  }
  for (const float edge : {65504.0f, 65519.99f, 65520.0f, 65536.0f, 0x1p-14f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f,
                           std::numeric_limits<float>::max(), std::numeric_limits<float>::denorm_min()}) {
    values.push_back(edge);
    values.push_back(-edge);
  }
  std::mt19937 random(4);
  for (int i = 0; i < 100000; ++i)
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  return values;
}

template <typename Half>
std::vector<float> rounded(const std::vector<float>& values) {
  return widened(narrowed<Half>(values));
}

}  // namespace

TEST_CASE("half kernels: products have the bits of f32 over widened weights, for every shape and stride") {
  for (const Product& shape : std::vector<Product>{{1, 1, 1},
                                                   {1, 4, 16},
                                                   {1, 37, 1025},
                                                   {2, 5, 15},
                                                   {4, 33, 17},
                                                   {6, 9, 130},
                                                   {7, 31, 1024},
                                                   {13, 37, 1023},
                                                   {47, 33, 31},
                                                   {49, 3, 2203},
                                                   {97, 66, 48}}) {
    for (const std::int64_t apart : {0, 3}) {
      for (const bool bias : {false, true}) {
        check_product<Bf16>(shape, apart, bias, !bias);
        check_product<F16>(shape, apart, bias, !bias);
      }
    }
  }
}

TEST_CASE(
    "half kernels: rounding is narrowing and widening again, whatever the value and the instruction set") {
  const std::vector<float> values = telling_floats();
  const auto count = static_cast<std::int64_t>(values.size());
  for (const std::string& isa : available_isas()) {
    INFO(isa);
    std::vector<float> bf16 = values, f16 = values;
    kernels_for(isa).round_bf16(bf16.data(), count);
    kernels_for(isa).round_f16(f16.data(), count);
    CHECK(same_bits(bf16, rounded<Bf16>(values)));
    CHECK(same_bits(f16, rounded<F16>(values)));
  }
}

TEST_CASE("half kernels: rounding touches as many values as it is told") {
  const std::vector<float> values = random_floats(64, 5);
  for (const std::string& isa : available_isas()) {
    for (std::int64_t count = 0; count <= 40; ++count) {
      std::vector<float> expected = values, actual = values;
      const std::vector<float> whole = rounded<Bf16>(values);
      std::copy_n(whole.begin() + 1, count, expected.begin() + 1);
      kernels_for(isa).round_bf16(actual.data() + 1, count);
      CHECK(same_bits(actual, expected));
    }
  }
}
