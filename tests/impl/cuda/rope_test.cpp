#include "impl/cuda/rope.h"

#include <cmath>

#include <catch2/catch.hpp>

#include "tests/impl/cuda/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

struct Tables {
  std::vector<float> cos, sin;  // [rows, head_dim]
};
Tables random_tables(std::int64_t rows, std::int64_t head_dim) {
  // The halves differ here, so that a kernel that reads the wrong one shows.
  return {random_values<float>(rows * head_dim, 1), random_values<float>(rows * head_dim, 2)};
}

// From apply_rotary_pos_emb: x * cos + rotate_half(x) * sin.
template <typename T>
std::vector<T> rotated(const std::vector<T>& x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim,
                       const Tables& tables) {
  std::vector<T> y(x.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t d = 0; d < head_dim; ++d) {
        const auto begin = static_cast<std::size_t>((row * heads + head) * head_dim);
        const auto at = static_cast<std::size_t>(d), angle = static_cast<std::size_t>(row * head_dim + d);
        const auto half = static_cast<std::size_t>(head_dim / 2);
        const bool low = at < half;
        const float turned = widen(x[begin + (low ? at + half : at - half)]) * tables.sin[angle];
        const float kept = widen(x[begin + at]) * tables.cos[angle];
        y[begin + at] = narrow<T>(low ? kept - turned : kept + turned);
      }
    }
  }
  return y;
}

}  // namespace

TEMPLATE_TEST_CASE("rope: halves rotated in place at every head_dim, with one rounding per operation", "",
                   float, Bf16) {
  using T = TestType;
  for (const std::int64_t head_dim : {2, 4, 6, 8, 10, 16, 24, 40, 64, 80, 128}) {
    for (const std::int64_t heads : {1, 3, 14, 40}) {
      for (const std::size_t shift : {0u, 1u}) {
        const std::int64_t rows = 3;
        CAPTURE(head_dim, heads, shift);
        const auto x = random_values<T>(rows * heads * head_dim, 3);
        const Tables tables = random_tables(rows, head_dim);
        const DeviceArray<T> device_x(x, shift);
        const DeviceArray<float> cos(tables.cos), sin(tables.sin);
        rope(nullptr, dtype_of<T>(), device_x.data(), rows, heads, head_dim, cos.data(), sin.data());
        CHECK(differing(device_x.read(), rotated(x, rows, heads, head_dim, tables)) == 0);
      }
    }
  }
}

TEST_CASE("rope: tables that are not aligned, and the same bits under every schedule") {
  const std::int64_t rows = 4, heads = 9, head_dim = 64;
  const auto x = random_values<Bf16>(rows * heads * head_dim, 4);
  const Tables tables = random_tables(rows, head_dim);
  const auto expected = rotated(x, rows, heads, head_dim, tables);
  under_all_schedules([&](const std::string& schedule) {
    for (const std::size_t shift : {0u, 1u}) {
      CAPTURE(schedule, shift);
      const DeviceArray<Bf16> device_x(x);
      const DeviceArray<float> cos(tables.cos, shift), sin(tables.sin, 2 * shift);
      rope(nullptr, DType::bf16, device_x.data(), rows, heads, head_dim, cos.data(), sin.data());
      CHECK(differing(device_x.read(), expected) == 0);
    }
  });
}

TEST_CASE(
    "cos_sin: of the f32 product, correctly rounded, each row by its own step's table, times the factor") {
  for (const std::int64_t pairs : {1, 5, 32, 64}) {
    const std::vector<std::int64_t> positions = {0, 1, 7, 511, 32767, 131071, (1 << 24) - 1, 1 << 24, 12345};
    const std::vector<std::int32_t> step_of_row = {0, 2, 1, 1, 0, 2, 2, 0, 1};
    std::vector<float> tables;  // [3, pairs]
    for (std::int64_t step = 0; step < 3; ++step) {
      for (std::int64_t i = 0; i < pairs; ++i) {
        const double exponent = static_cast<double>(i) / static_cast<double>(pairs);
        tables.push_back(static_cast<float>(std::pow(1e4 * std::pow(10.0, step), -exponent)));
      }
    }
    const auto rows = static_cast<std::int64_t>(positions.size());
    for (const float factor : {1.0f, 1.3862944f}) {
      const DeviceArray<std::int64_t> device_positions(positions);
      const DeviceArray<std::int32_t> device_steps(step_of_row);
      const DeviceArray<float> device_tables(tables);
      const auto size = static_cast<std::size_t>(2 * rows * pairs);
      const DeviceArray<float> cos(size), sin(size);
      cos_sin(nullptr, device_positions.data(), device_tables.data(), device_steps.data(), pairs, rows,
              factor, cos.data(), sin.data());
      std::vector<float> right_cos, right_sin;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t i = 0; i < 2 * pairs; ++i) {
          const auto at = static_cast<std::size_t>(row);
          const auto entry = static_cast<std::size_t>(step_of_row[at] * pairs + i % pairs);
          const float angle = static_cast<float>(positions[at]) * tables[entry];
          right_cos.push_back(static_cast<float>(std::cos(static_cast<double>(angle))) * factor);
          right_sin.push_back(static_cast<float>(std::sin(static_cast<double>(angle))) * factor);
        }
      }
      CAPTURE(pairs, factor);
      CHECK(differing(cos.read(), right_cos) == 0);
      CHECK(differing(sin.read(), right_sin) == 0);
    }
  }
}
