#include "impl/cuda/linear.h"

#include <algorithm>
#include <cmath>

#include <catch2/catch.hpp>

#include "impl/cuda/linear_plan.h"
#include "impl/cuda/residual.h"
#include "impl/cuda/silu_mul.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

// A layer's numbers on the host and on the device.
template <typename T>
struct Layer {
  Layer(std::int64_t outs, std::int64_t depth, bool has_bias, unsigned seed, std::size_t shift = 0)
      : outs(outs),
        depth(depth),
        weight(random_values<T>(outs * depth, seed)),
        bias(has_bias ? random_values<T>(outs, seed + 1) : std::vector<T>()),
        device_weight(weight, shift),
        device_bias(bias) {}

  LinearLayer layer() const {
    return {device_weight.data(), bias.empty() ? nullptr : device_bias.data(), outs, depth};
  }
  T expected(const T* x, std::int64_t out) const {
    const float sum = ordered_dot(x, &weight[static_cast<std::size_t>(out * depth)], depth);
    return narrow<T>(bias.empty() ? sum : sum + widen(bias[static_cast<std::size_t>(out)]));
  }
  // [rows, outs]
  std::vector<T> expected_rows(const std::vector<T>& x, std::int64_t rows) const {
    std::vector<T> y;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t out = 0; out < outs; ++out) y.push_back(expected(x.data() + row * depth, out));
    }
    return y;
  }

  std::int64_t outs, depth;
  std::vector<T> weight, bias;
  DeviceArray<T> device_weight, device_bias;
};

struct Case {
  std::int64_t rows, outs, depth;
};
// Depths around 8, 16, 256 and 512, and not even; rows and outputs that fill no tile. The last two have
// enough tiles for the largest.
const Case kCases[] = {
    {1, 1, 1},    {1, 3, 7},    {2, 5, 8},    {3, 2, 9},     {5, 9, 16},    {9, 3, 40},      {4, 7, 255},
    {1, 9, 256},  {17, 5, 256}, {3, 3, 257},  {2, 10, 264},  {1, 5, 2056},  {7, 6, 504},     {1, 2, 3337},
    {8, 11, 776}, {4, 4, 1792}, {1, 7, 4864}, {33, 2, 1544}, {9, 1366, 48}, {13, 1030, 264},
};

template <typename T, typename Body>
void for_cases(const Body& body) {
  for (const Case& c : kCases) {
    for (const std::size_t shift : {0u, 1u}) {
      if (shift > 0 && c.rows * c.outs > 1000) continue;
      CAPTURE(c.rows, c.outs, c.depth, shift, sizeof(T));
      body(c, shift);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("linear: sums have the documented order, for one row and many, aligned or not", "", float,
                   Bf16) {
  using T = TestType;
  for_cases<T>([](const Case& c, std::size_t shift) {
    const auto x = random_values<T>(c.rows * c.depth, 1);
    const Layer<T> layer(c.outs, c.depth, c.depth % 2 == 0, 2, shift);
    const DeviceArray<T> device_x(x, shift);
    const DeviceArray<T> y(static_cast<std::size_t>(c.rows * c.outs));
    linear(nullptr, dtype_of<T>(), layer.layer(), device_x.data(), c.rows, y.data());
    CHECK(differing(y.read(), layer.expected_rows(x, c.rows)) == 0);
  });
}

TEMPLATE_TEST_CASE("linear_three: the bits of three calls", "", float, Bf16) {
  using T = TestType;
  for_cases<T>([](const Case& c, std::size_t shift) {
    const auto x = random_values<T>(c.rows * c.depth, 3);
    const std::int64_t few = std::max<std::int64_t>(1, c.outs / 7);
    const Layer<T> q(c.outs, c.depth, true, 4, shift), k(few, c.depth, true, 6),
        v(few + 1, c.depth, false, 8);
    const DeviceArray<T> device_x(x);
    const DeviceArray<T> yq(static_cast<std::size_t>(c.rows * q.outs)),
        yk(static_cast<std::size_t>(c.rows * k.outs)), yv(static_cast<std::size_t>(c.rows * v.outs));
    linear_three(nullptr, dtype_of<T>(),
                 {{q.layer(), yq.data()}, {k.layer(), yk.data()}, {v.layer(), yv.data()}}, device_x.data(),
                 c.rows);
    CHECK(differing(yq.read(), q.expected_rows(x, c.rows)) == 0);
    CHECK(differing(yk.read(), k.expected_rows(x, c.rows)) == 0);
    CHECK(differing(yv.read(), v.expected_rows(x, c.rows)) == 0);
  });
}

TEMPLATE_TEST_CASE("linear_residual: the bits of linear, then residual", "", float, Bf16) {
  using T = TestType;
  for_cases<T>([](const Case& c, std::size_t shift) {
    const auto x = random_values<T>(c.rows * c.depth, 10);
    const auto stream_rows = random_values<T>(c.rows * c.outs, 11, 10.0f);
    const Layer<T> layer(c.outs, c.depth, c.depth % 2 != 0, 12, shift);
    const DeviceArray<T> device_x(x), device_stream(stream_rows, shift);
    linear_residual(nullptr, dtype_of<T>(), layer.layer(), device_x.data(), c.rows, device_stream.data());
    std::vector<T> expected = layer.expected_rows(x, c.rows);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] = narrow<T>(widen(stream_rows[i]) + widen(expected[i]));
    }
    CHECK(differing(device_stream.read(), expected) == 0);
  });
}

TEMPLATE_TEST_CASE("linear_silu_mul: the bits of two layers, then silu_mul", "", float, Bf16) {
  using T = TestType;
  for_cases<T>([](const Case& c, std::size_t shift) {
    const auto x = random_values<T>(c.rows * c.depth, 13);
    const Layer<T> gate(c.outs, c.depth, false, 14, shift), up(c.outs, c.depth, c.outs % 2 == 0, 16);
    const DeviceArray<T> device_x(x);
    const DeviceArray<T> act(static_cast<std::size_t>(c.rows * c.outs));
    linear_silu_mul(nullptr, dtype_of<T>(), gate.layer(), up.layer(), device_x.data(), c.rows, act.data());
    const std::vector<T> gates = gate.expected_rows(x, c.rows), ups = up.expected_rows(x, c.rows);
    std::vector<T> expected;
    for (std::size_t i = 0; i < gates.size(); ++i) expected.push_back(silu_mul_of(gates[i], ups[i]));
    CHECK(differing(act.read(), expected) == 0);
  });
}

TEMPLATE_TEST_CASE("linear_logits: the rounded outputs of linear, as f32", "", float, Bf16) {
  using T = TestType;
  for_cases<T>([](const Case& c, std::size_t shift) {
    const auto x = random_values<T>(c.rows * c.depth, 18);
    const Layer<T> layer(c.outs, c.depth, false, 19, shift);
    const DeviceArray<T> device_x(x);
    const DeviceArray<float> logits(static_cast<std::size_t>(c.rows * c.outs));
    linear_logits(nullptr, dtype_of<T>(), layer.layer(), device_x.data(), c.rows, logits.data());
    std::vector<float> expected;
    for (const T value : layer.expected_rows(x, c.rows)) expected.push_back(widen(value));
    CHECK(differing(logits.read(), expected) == 0);
  });
}

TEMPLATE_TEST_CASE("linear: the same bits under every schedule", "", float, Bf16) {
  using T = TestType;
  const std::int64_t rows = 6, outs = 5, depth = 600;
  const auto x = random_values<T>(rows * depth, 20);
  const Layer<T> layer(outs, depth, false, 21);
  const auto expected = layer.expected_rows(x, rows);
  under_all_schedules([&](const std::string& schedule) {
    CAPTURE(schedule);
    const DeviceArray<T> device_x(x);
    const DeviceArray<T> y(static_cast<std::size_t>(rows * outs));
    linear(nullptr, dtype_of<T>(), layer.layer(), device_x.data(), rows, y.data());
    CHECK(differing(y.read(), expected) == 0);
  });
}

TEMPLATE_TEST_CASE("linear: the sign of zero, which shows what was padded", "", float, Bf16) {
  using T = TestType;
  // All products underflow to -0. A padded lane becomes +0, and with it the sum; a whole step of padding or
  // a bias of +0 would do the same where nothing is padded.
  for (const std::int64_t rows : {1, 2, 7}) {
    for (const std::int64_t depth : {256, 264, 512, 1024, 1280}) {
      const std::int64_t outs = 700;
      CAPTURE(rows, depth);
      const std::vector<T> x(static_cast<std::size_t>(rows * depth), narrow<T>(1e-30f));
      Layer<T> layer(outs, depth, false, 26);
      std::fill(layer.weight.begin(), layer.weight.end(), narrow<T>(-1e-30f));
      const DeviceArray<T> device_x(x), weight(layer.weight);
      const std::size_t size = static_cast<std::size_t>(rows * outs);
      const DeviceArray<T> y(size);
      linear(nullptr, dtype_of<T>(), {weight.data(), nullptr, outs, depth}, device_x.data(), rows, y.data());
      const std::vector<T> expected(size, narrow<T>(depth % 256 == 0 ? -0.0f : 0.0f));
      CHECK(differing(y.read(), expected) == 0);
      CHECK(differing(layer.expected_rows(x, 1), {expected.begin(), expected.begin() + outs}) == 0);
    }
  }
}

TEST_CASE("linear: a row that is infinite or NaN does not reach its neighbours; no rows are no launch") {
  const std::int64_t rows = 6, outs = 7, depth = 264;
  auto x = random_values<float>(rows * depth, 22);
  const Layer<float> layer(outs, depth, true, 23);
  const auto expected = layer.expected_rows(x, rows);
  x[static_cast<std::size_t>(2 * depth + 263)] = INFINITY;
  x[static_cast<std::size_t>(3 * depth)] = NAN;
  const DeviceArray<float> device_x(x), y(static_cast<std::size_t>(rows * outs));
  linear(nullptr, DType::f32, layer.layer(), device_x.data(), rows, y.data());
  const auto got = y.read();
  for (std::int64_t i = 0; i < rows * outs; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::int64_t row = i / outs;
    if (row == 2) CHECK(std::isinf(got[at]));
    if (row == 3) CHECK(std::isnan(got[at]));
    if (row != 2 && row != 3) CHECK(bits_of(got[at]) == bits_of(expected[at]));
  }
  const auto launches = cuda_emulation::counters().launches;
  linear(nullptr, DType::f32, layer.layer(), device_x.data(), 0, y.data());
  CHECK(cuda_emulation::counters().launches == launches);
}

TEST_CASE("linear: within the bound of docs/tolerances.md of the sum in f64") {
  const std::int64_t rows = 2, outs = 24;
  for (const std::int64_t depth : {896, 4864, 18944}) {
    const auto x = random_values<float>(rows * depth, 24);
    const Layer<float> layer(outs, depth, false, 25);
    const DeviceArray<float> device_x(x), y(static_cast<std::size_t>(rows * outs));
    linear(nullptr, DType::f32, layer.layer(), device_x.data(), rows, y.data());
    const auto got = y.read();
    double worst = 0;  // error / B
    for (std::int64_t i = 0; i < rows * outs; ++i) {
      double sum = 0, squares = 0, low = 0, high = 0;
      for (std::int64_t k = 0; k < depth; ++k) {
        const double term = double{x[static_cast<std::size_t>(i / outs * depth + k)]} *
                            double{layer.weight[static_cast<std::size_t>(i % outs * depth + k)]};
        sum += term;
        squares += term * term;
        if ((k + 1) % (depth / 16) == 0) {
          low = std::min(low, sum);
          high = std::max(high, sum);
        }
      }
      const double bound =
          std::ldexp(std::sqrt(static_cast<double>(depth)) * (high - low + std::sqrt(squares)), -24);
      worst = std::max(worst, std::abs(double{got[static_cast<std::size_t>(i)]} - sum) / bound);
    }
    CAPTURE(depth, worst);
    CHECK(worst > 0.0);
    CHECK(worst <= 0.39);  // "lanes and trees at most 0.39"
  }
}
