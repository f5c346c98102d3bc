// Kernels that take rows or elements by themselves: embedding, gather_rows, residual, silu_mul, rms_norm.
#include <algorithm>
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "impl/cuda/embedding.h"
#include "impl/cuda/residual.h"
#include "impl/cuda/rms_norm.h"
#include "impl/cuda/silu_mul.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

// Around 4, 8 and 256 elements and blocks of 256 threads.
constexpr std::int64_t kCounts[] = {1, 3, 4, 5, 7, 8, 9, 31, 255, 256, 257, 1024, 2047, 2049, 4104};
constexpr std::int64_t kWidths[] = {1, 3, 7, 8, 40, 90, 255, 256, 257, 511, 513, 896, 2100, 4864};

template <typename T>
std::vector<T> residuals(const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<T> sums;
  for (std::size_t i = 0; i < a.size(); ++i) sums.push_back(narrow<T>(widen(a[i]) + widen(b[i])));
  return sums;
}

template <typename T>
std::vector<T> normed(const std::vector<T>& weight, float eps, const std::vector<T>& x) {
  std::vector<T> y;
  const auto width = static_cast<std::int64_t>(weight.size());
  for (std::size_t row = 0; row < x.size(); row += weight.size()) {
    const float mean = ordered_dot(&x[row], &x[row], width) / static_cast<float>(width);
    const float scale = 1.0f / std::sqrt(mean + eps);
    for (std::size_t i = 0; i < weight.size(); ++i) {
      const float scaled = widen(x[row + i]) * scale;
      y.push_back(narrow<T>(scaled * widen(weight[i])));
    }
  }
  return y;
}

}  // namespace

TEMPLATE_TEST_CASE("embedding and gather_rows: copies of rows, bit for bit", "", float, Bf16) {
  using T = TestType;
  const std::int64_t vocab = 37;
  const std::vector<std::int32_t> tokens = {36, 0, 5, 5, 17};
  const std::vector<std::int64_t> rows(tokens.begin(), tokens.end());
  const DeviceArray<std::int32_t> device_tokens(tokens);
  const DeviceArray<std::int64_t> device_rows(rows);
  for (const std::int64_t width : kWidths) {
    for (const std::size_t shift : {0u, 1u}) {
      CAPTURE(width, shift);
      auto matrix = random_values<T>(vocab * width, 1);
      matrix[5] = narrow<T>(std::numeric_limits<float>::quiet_NaN());
      const DeviceArray<T> device_matrix(matrix, shift);
      const auto size = rows.size() * static_cast<std::size_t>(width);
      const DeviceArray<T> embedded(size), gathered(size, shift);
      embedding(nullptr, dtype_of<T>(), device_matrix.data(), device_tokens.data(), 5, width,
                embedded.data());
      gather_rows(nullptr, dtype_of<T>(), device_matrix.data(), device_rows.data(), 5, width,
                  gathered.data());
      std::vector<T> expected;
      for (const std::int64_t row : rows) {
        const auto begin = matrix.begin() + row * width;
        expected.insert(expected.end(), begin, begin + width);
      }
      CHECK(differing(embedded.read(), expected) == 0);
      CHECK(differing(gathered.read(), expected) == 0);
    }
  }
}

TEMPLATE_TEST_CASE("residual: one rounding per sum, at every length and alignment, in place too", "", float,
                   Bf16) {
  using T = TestType;
  for (const std::int64_t count : kCounts) {
    for (const std::size_t shift : {0u, 1u}) {
      CAPTURE(count, shift);
      const auto a = random_values<T>(count, 2), b = random_values<T>(count, 3, 1e-3f);
      const DeviceArray<T> device_a(a, shift), device_b(b);
      // One element more than is written: it stays as it was.
      const DeviceArray<T> out(static_cast<std::size_t>(count) + 1);
      residual(nullptr, dtype_of<T>(), device_a.data(), device_b.data(), count, out.data());
      auto got = out.read();
      CHECK((sizeof(T) == 4 ? std::memcmp(&got.back(), "\xff\xff\xff\xff", 4) == 0
                            : std::memcmp(&got.back(), "\xff\xff", 2) == 0));
      got.pop_back();
      CHECK(differing(got, residuals(a, b)) == 0);
      residual(nullptr, dtype_of<T>(), device_a.data(), device_b.data(), count, device_a.data());
      CHECK(differing(device_a.read(), residuals(a, b)) == 0);
    }
  }
}

TEMPLATE_TEST_CASE("silu_mul: the element's function, at every length and alignment, in place too", "", float,
                   Bf16) {
  using T = TestType;
  for (const std::int64_t count : kCounts) {
    for (const std::size_t shift : {0u, 1u}) {
      CAPTURE(count, shift);
      const auto gate = random_values<T>(count, 4, 5.0f), up = random_values<T>(count, 5);
      std::vector<T> expected;
      for (std::size_t i = 0; i < gate.size(); ++i) expected.push_back(silu_mul_of(gate[i], up[i]));
      const DeviceArray<T> device_gate(gate), device_up(up, shift), out(static_cast<std::size_t>(count));
      silu_mul(nullptr, dtype_of<T>(), device_gate.data(), device_up.data(), count, out.data());
      CHECK(differing(out.read(), expected) == 0);
      silu_mul(nullptr, dtype_of<T>(), device_gate.data(), device_up.data(), count, device_gate.data());
      CHECK(differing(device_gate.read(), expected) == 0);
    }
  }
}

TEMPLATE_TEST_CASE("rms_norm: the documented order of sums at every width, in place too", "", float, Bf16) {
  using T = TestType;
  for (const std::int64_t width : kWidths) {
    for (const std::int64_t rows : {1, 3}) {
      CAPTURE(width, rows);
      const auto weight = random_values<T>(width, 6), x = random_values<T>(rows * width, 7, 3.0f);
      const DeviceArray<T> device_weight(weight), device_x(x, static_cast<std::size_t>(width % 2)),
          y(x.size());
      rms_norm(nullptr, dtype_of<T>(), device_weight.data(), 1e-6f, device_x.data(), rows, width, y.data());
      const auto expected = normed(weight, 1e-6f, x);
      CHECK(differing(y.read(), expected) == 0);
      rms_norm(nullptr, dtype_of<T>(), device_weight.data(), 1e-6f, device_x.data(), rows, width,
               device_x.data());
      CHECK(differing(device_x.read(), expected) == 0);
    }
  }
}

TEST_CASE("rms_norm: within the bound of docs/tolerances.md of f64, a channel of thousands among them") {
  for (const std::int64_t width : {896, 8192}) {
    const std::int64_t rows = 4;
    const auto weight = random_values<float>(width, 8);
    auto x = random_values<float>(rows * width, 9);
    x[static_cast<std::size_t>(width) + 11] = 3000.0f;  // row 1
    std::fill_n(x.begin() + 2 * width, width, 0.3f);    // row 2
    for (std::int64_t i = 0; i < width; ++i) x[static_cast<std::size_t>(3 * width + i)] *= 1e-4f;
    const DeviceArray<float> device_weight(weight), device_x(x), y(x.size());
    rms_norm(nullptr, DType::f32, device_weight.data(), 1e-6f, device_x.data(), rows, width, y.data());
    const auto got = y.read();
    double worst = 0;
    for (std::int64_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (std::int64_t i = 0; i < width; ++i) {
        sum += std::pow(double{x[static_cast<std::size_t>(row * width + i)]}, 2);
      }
      const double scale = 1 / std::sqrt(sum / static_cast<double>(width) + double{1e-6f});
      for (std::int64_t i = 0; i < width; ++i) {
        const auto at = static_cast<std::size_t>(row * width + i);
        const double right = double{x[at]} * scale * double{weight[static_cast<std::size_t>(i)]};
        const double bound =
            std::ldexp(std::abs(right) * (std::sqrt(static_cast<double>(width)) / 2 + 4), -24);
        if (!(std::abs(double{got[at]} - right) <= bound)) worst = std::numeric_limits<double>::infinity();
        if (bound > 0) worst = std::max(worst, std::abs(double{got[at]} - right) / bound);
      }
    }
    CAPTURE(width, worst);
    CHECK(worst > 0.0);
    CHECK(worst <= 1.0);  // of 2.5
  }
}

TEMPLATE_TEST_CASE("rowwise: the same bits under every schedule", "", float, Bf16) {
  using T = TestType;
  const std::int64_t rows = 5, width = 520;
  const auto x = random_values<T>(rows * width, 10), other = random_values<T>(rows * width, 11),
             weight = random_values<T>(width, 12);
  std::vector<T> expected = normed(weight, 1e-5f, residuals(x, other));
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = silu_mul_of(expected[i], other[i]);
  under_all_schedules([&](const std::string& schedule) {
    CAPTURE(schedule);
    const DeviceArray<T> device_x(x), device_other(other), device_weight(weight);
    residual(nullptr, dtype_of<T>(), device_x.data(), device_other.data(), rows * width, device_x.data());
    rms_norm(nullptr, dtype_of<T>(), device_weight.data(), 1e-5f, device_x.data(), rows, width,
             device_x.data());
    silu_mul(nullptr, dtype_of<T>(), device_x.data(), device_other.data(), rows * width, device_x.data());
    CHECK(differing(device_x.read(), expected) == 0);
  });
}

TEST_CASE("rowwise: no rows are no launch") {
  const auto before = cuda_emulation::counters().launches;
  embedding(nullptr, DType::bf16, nullptr, nullptr, 0, 8, nullptr);
  gather_rows(nullptr, DType::f32, nullptr, nullptr, 0, 8, nullptr);
  residual(nullptr, DType::f32, nullptr, nullptr, 0, nullptr);
  silu_mul(nullptr, DType::f32, nullptr, nullptr, 0, nullptr);
  rms_norm(nullptr, DType::f32, nullptr, 1e-6f, nullptr, 0, 8, nullptr);
  CHECK(cuda_emulation::counters().launches == before);
}
