// Each op against literal f64 loops over odd shapes. The bounds are the f32 table's of docs/tolerances.md in
// simplified, larger forms; u = 2^-24.
#include <algorithm>
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "impl/config.h"
#include "impl/cpu/attention.h"
#include "impl/cpu/embedding.h"
#include "impl/cpu/isa.h"
#include "impl/cpu/linear.h"
#include "impl/cpu/residual.h"
#include "impl/cpu/rms_norm.h"
#include "impl/cpu/rope.h"
#include "impl/cpu/silu_mul.h"
#include "impl/inverse_frequencies.h"
#include "impl/mask.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr double kUnit = 0x1p-24;

// One context for each instruction set here and for one and three threads.
template <typename Body>
void with_every_context(Body body) {
  for (const std::string& isa : available_isas()) {
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      INFO(isa << ", " << threads << " threads");
      body(CpuContext{kernels_for(isa), pool});
    }
  }
}

// The largest error as a share of u√n(R + Q), the bound of a linear layer; see docs/tolerances.md.
double linear_share(const LinearWeights& w, std::span<const float> x, std::int64_t rows,
                    std::span<const float> y) {
  const auto* weight = std::get<const float*>(w.weight);
  double worst = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t out = 0; out < w.outs; ++out) {
      const double bias = w.bias == nullptr ? 0.0 : w.bias[out];
      double sum = 0, squares = bias * bias, low = std::min(bias, -bias), high = -low;
      for (std::int64_t k = 0; k < w.depth; ++k) {
        const double term =
            static_cast<double>(x[static_cast<std::size_t>(row * w.depth + k)]) * weight[out * w.depth + k];
        sum += term;
        squares += term * term;
        low = std::min(low, sum);
        high = std::max(high, sum);
      }
      const double bound =
          kUnit * std::sqrt(static_cast<double>(w.depth)) * (high - low + std::sqrt(squares));
      const double error = std::fabs(y[static_cast<std::size_t>(row * w.outs + out)] - (sum + bias));
      worst = std::max(worst, error / bound);
      if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("linear: stays within half of its bound, with the same bits everywhere") {
  struct Case {
    std::int64_t rows, outs, depth;
  };
  for (const auto& [rows, outs, depth] : std::vector<Case>{
           {1, 1, 1}, {7, 9, 20}, {13, 37, 120}, {6, 4, 16}, {2, 5, 15}, {3, 130, 897}, {50, 33, 4864}}) {
    const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * depth), 1);
    const std::vector<float> weight = random_floats(static_cast<std::size_t>(outs * depth), 2);
    const std::vector<float> bias = random_floats(static_cast<std::size_t>(outs), 3);
    for (const float* maybe_bias : {bias.data(), static_cast<const float*>(nullptr)}) {
      const LinearWeights w{weight.data(), maybe_bias, outs, depth};
      std::vector<float> first;
      with_every_context([&](const CpuContext& context) {
        std::vector<float> y(static_cast<std::size_t>(rows * outs));
        linear(context, w, x.data(), rows, y.data());
        if (first.empty()) {
          first = y;
          CHECK(linear_share(w, x, rows, y) <= 1.25);  // half of lambda = 2.5
        }
        CHECK(same_bits(y, first));
      });
    }
  }
}

TEST_CASE("linear: a row alone has the bits it has among many") {
  const std::int64_t rows = 29, outs = 21, depth = 2203;  // in several blocks
  const std::vector<float> x = random_floats(rows * depth, 4);
  const std::vector<float> weight = random_floats(outs * depth, 5);
  const LinearWeights w{weight.data(), nullptr, outs, depth};
  with_every_context([&](const CpuContext& context) {
    std::vector<float> together(rows * outs), alone(rows * outs);
    linear(context, w, x.data(), rows, together.data());
    for (std::int64_t row = 0; row < rows; ++row) {
      linear(context, w, x.data() + row * depth, 1, alone.data() + row * outs);
    }
    CHECK(same_bits(together, alone));
  });
}

TEST_CASE("linear: sums of small integers are exact") {
  const std::int64_t rows = 5, outs = 11, depth = 333;
  std::vector<float> x = random_floats(rows * depth, 6), weight = random_floats(outs * depth, 7);
  for (float& v : x) v = std::nearbyint(4 * v);
  for (float& v : weight) v = std::nearbyint(4 * v);
  const LinearWeights w{weight.data(), nullptr, outs, depth};
  with_every_context([&](const CpuContext& context) {
    std::vector<float> y(rows * outs);
    linear(context, w, x.data(), rows, y.data());
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t out = 0; out < outs; ++out) {
        double sum = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          sum += static_cast<double>(x[static_cast<std::size_t>(row * depth + k)]) *
                 weight[static_cast<std::size_t>(out * depth + k)];
        }
        CHECK(static_cast<double>(y[static_cast<std::size_t>(row * outs + out)]) == sum);
      }
    }
  });
}

TEST_CASE("rms_norm: stays within half of its bound, beside a big channel too") {
  for (const std::int64_t width : {1, 20, 120, 897, 3584}) {
    const std::int64_t rows = 3;
    std::vector<float> x = random_floats(static_cast<std::size_t>(rows * width), 8);
    x[0] = 5000;                                                                               // row 0
    for (std::int64_t i = 0; i < width; ++i) x[static_cast<std::size_t>(width + i)] *= 1e-3f;  // row 1
    const std::vector<float> weight = random_floats(static_cast<std::size_t>(width), 9);
    const float eps = 1e-6f;
    std::vector<float> first;
    with_every_context([&](const CpuContext& context) {
      std::vector<float> y(x.size());
      rms_norm(context, weight.data(), eps, x.data(), rows, width, y.data());
      if (first.empty()) first = y;
      CHECK(same_bits(y, first));
    });
    for (std::int64_t row = 0; row < rows; ++row) {
      double squares = 0;
      for (std::int64_t i = 0; i < width; ++i) {
        const double v = x[static_cast<std::size_t>(row * width + i)];
        squares += v * v;
      }
      const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(eps));
      for (std::int64_t i = 0; i < width; ++i) {
        const auto at = static_cast<std::size_t>(row * width + i);
        const double expected = x[at] * scale * weight[static_cast<std::size_t>(i)];
        const double bound = kUnit * std::fabs(expected) * (std::sqrt(static_cast<double>(width)) / 2 + 4);
        CHECK(std::fabs(first[at] - expected) <= 1.25 * bound);
      }
    }
  }
}

TEST_CASE("rope: rotates halves, not neighbouring pairs, by the f32 angle") {
  const std::int64_t tokens = 4, heads = 3, head_dim = 20, half = head_dim / 2;
  const std::vector<std::int64_t> positions{0, 1, 77, 32000};
  ModelConfig config;
  config.head_dim = head_dim;
  config.rope = {.type = "default", .theta = 1e6};
  const std::vector<float> inv_freq = inverse_frequencies(config);
  std::vector<float> cos(tokens * head_dim), sin(cos.size());
  cos_sin(positions, inv_freq, 1.0f, cos.data(), sin.data());
  const std::vector<float> x = random_floats(tokens * heads * head_dim, 10);
  with_every_context([&](const CpuContext& context) {
    std::vector<float> y = x;
    rope(context, y.data(), tokens, heads, head_dim, cos.data(), sin.data());
    for (std::int64_t row = 0; row < tokens * heads; ++row) {
      for (std::int64_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(positions[static_cast<std::size_t>(row / heads)]) *
                            inv_freq[static_cast<std::size_t>(i)];
        const double c = std::cos(static_cast<double>(angle)), s = std::sin(static_cast<double>(angle));
        const auto first = static_cast<std::size_t>(row * head_dim + i), second = first + half;
        const double bound = 0.625 * 4 * kUnit * (std::fabs(x[first]) + std::fabs(x[second]));
        CHECK(std::fabs(y[first] - (x[first] * c - x[second] * s)) <= bound);
        CHECK(std::fabs(y[second] - (x[second] * c + x[first] * s)) <= bound);
      }
    }
  });
}

TEST_CASE("rope: frequencies are those of transformers, YaRN's too") {
  const nlohmann::json goldens = read_json(source_path("fixtures/goldens/configs.json"));
  for (const auto& each : goldens.at("configs")) {
    const std::string path = each.at("config");
    INFO(path);
    const std::filesystem::path file = source_path(path);
    const ModelConfig config = parse_config(read_json(file).dump(), path);
    const auto expected = each.at("derived").at("inv_freq").get<std::vector<double>>();
    const std::vector<float> actual = inverse_frequencies(config);
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      // transformers' own powers are up to 3 ulp off (docs/tolerances.md); one ulp is 2u of the value at
      // most.
      CHECK(std::fabs(actual[i] - expected[i]) <= 8 * kUnit * expected[i]);
    }
  }
}

TEST_CASE("silu_mul: stays within half of its bound from -120 to 120") {
  std::vector<float> gate, up = random_floats(2401, 11);
  for (int i = 0; i <= 2400; ++i) gate.push_back(static_cast<float>(i - 1200) * 0.1f);
  with_every_context([&](const CpuContext& context) {
    std::vector<float> y(gate.size());
    silu_mul(context, gate.data(), up.data(), static_cast<std::int64_t>(gate.size()), y.data());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double g = gate[i], expected = g / (1 + std::exp(-g)) * up[i];
      const double bound =
          kUnit * std::fabs(expected) * (4 + std::max(0.0, -g)) + std::ldexp(1 + std::fabs(up[i]), -118);
      CHECK(std::fabs(y[i] - expected) <= 1.125 * bound);
    }
  });
}

TEST_CASE("residual and embedding: exact") {
  const std::vector<float> a = random_floats(300'001, 12), b = random_floats(300'001, 13);
  with_every_context([&](const CpuContext& context) {
    std::vector<float> sum(a.size());
    residual(context, a.data(), b.data(), static_cast<std::int64_t>(a.size()), sum.data());
    bool exact = true;
    for (std::size_t i = 0; i < a.size(); ++i) {
      exact = exact && sum[i] == static_cast<float>(static_cast<double>(a[i]) + static_cast<double>(b[i]));
    }
    CHECK(exact);
  });
  const std::vector<TokenId> tokens{3, 0, 3};
  std::vector<float> rows(3 * 7);
  embedding(a.data(), 7, tokens, rows.data());
  CHECK(same_bits(std::span(rows).first(7), std::span(a).subspan(21, 7)));
  CHECK(same_bits(std::span(rows).subspan(7, 7), std::span(a).first(7)));
}

TEST_CASE("mask: causal, the diagonal at the bottom right, windows of exactly W keys") {
  CHECK(allowed(4, 4, std::nullopt));
  CHECK_FALSE(allowed(4, 5, std::nullopt));
  CHECK(allowed(4, 2, 3));
  CHECK_FALSE(allowed(4, 1, 3));
  const Tensor mask = allowed_mask(2, 3, 2);
  const std::vector<std::uint8_t> expected{0, 0, 1, 1, 0, 0, 0, 0, 1, 1};
  CHECK(std::equal(expected.begin(), expected.end(), mask.values<std::uint8_t>().begin()));
  CHECK(mask.shape() == Shape{2, 5});
}
