// Mistakes of the embedding, the norms, the residuals and the activation, planted and named.
#include <bit>
#include <cmath>
#include <numeric>

#include <catch2/catch.hpp>

#include "tests/reference/suspects.h"

using namespace plumbline;
using test::Stage;

namespace {

using Values = std::vector<float>;
constexpr std::size_t kHidden = 24, kRows = 9;
const std::string kLayer = "model.layers.1.";
const std::string kNorm = kLayer + "post_attention_layernorm";

Stage& stage() {
  static Stage made([] {
    nlohmann::json config = test::square_config();
    config["rms_norm_eps"] = 1e-2;  // where it shows
    return config;
  }());
  return made;
}
std::string first(const std::string& probe, const Values& values) {
  return stage().first(probe, values);
}

// x / root(mean of squares + eps) w, by rows; `change` may replace any of it.
struct Norm {
  Values weight;
  double eps = 1e-2;
  bool centred = false, outside = false, sum = false, no_root = false, unbiased = false, whole = false;
  int bits = 0;
  Values operator()(const Values& x) const {
    Values y;
    double all = 0;
    for (const float value : x) all += static_cast<double>(value) * value;
    for (std::size_t row = 0; row < x.size() / kHidden; ++row) {
      const auto begin = x.begin() + static_cast<std::ptrdiff_t>(row * kHidden);
      const Values line(begin, begin + kHidden);
      const double mean = centred ? std::accumulate(line.begin(), line.end(), 0.0) / kHidden : 0.0;
      double squares = 0;
      for (const float value : line) {
        squares += (value - mean) * (value - mean);
        if (bits > 0) squares = test::rounded(static_cast<float>(squares), bits);
      }
      double size = squares / (sum ? 1.0 : static_cast<double>(kHidden - (unbiased ? 1 : 0)));
      if (whole) size = all / static_cast<double>(x.size());
      double root = outside ? std::sqrt(size) + eps : std::sqrt(size + eps);
      if (no_root) root *= root;
      for (std::size_t i = 0; i < kHidden; ++i) {
        y.push_back(static_cast<float>((line[i] - mean) / root * weight[i]));
      }
    }
    return y;
  }
};

Norm right_norm() {
  return {stage().weight(kNorm + ".weight")};
}
Values input() {
  return stage().get(kLayer + "attn_residual");
}

template <typename Formula>
Values by_element(const Values& a, const Values& b, Formula formula) {
  Values y;
  for (std::size_t i = 0; i < a.size(); ++i) y.push_back(static_cast<float>(formula(a[i], b[i])));
  return y;
}

}  // namespace

TEST_CASE("suspects of norms: weights and eps", "[reference][suspects]") {
  const Values x = input();
  const auto with_weight = [&](const Values& w) {
    Norm norm = right_norm();
    norm.weight = w;
    return first(kNorm, norm(x));
  };
  CHECK(first(kNorm, right_norm()(x)) == "none fits");
  CHECK(with_weight(Values(kHidden, 1.0f)) == "norm weight missing");
  Values more = right_norm().weight;
  for (float& w : more) w += 1;
  CHECK(with_weight(more) == "norm weight plus one");
  CHECK(with_weight(stage().weight(kLayer + "input_layernorm.weight")) == "weights of input_layernorm");
  CHECK(with_weight(stage().weight("model.layers.0.post_attention_layernorm.weight")) ==
        "weights of the layer before");
  CHECK(with_weight(stage().weight("model.layers.2.post_attention_layernorm.weight")) ==
        "weights of the layer after");
  Norm plain = right_norm();
  plain.weight.assign(kHidden, 1.0f);
  Values weighted = x;
  for (std::size_t i = 0; i < x.size(); ++i) weighted[i] *= right_norm().weight[i % kHidden];
  CHECK(first(kNorm, plain(weighted)) == "weight applied before the norm");
  Norm last{stage().weight("model.norm.weight")};
  last.weight = stage().weight("model.layers.2.input_layernorm.weight");
  CHECK(first("model.norm", last(stage().get("model.layers.2.mlp_residual"))) ==
        "weights of the last layer's input_layernorm");
}

TEST_CASE("suspects of norms: eps is told from eps where the norm is tiny", "[reference][suspects]") {
  // On ordinary inputs 1e-8, 1e-12 and none give the same bits: they are named together.
  Norm norm = right_norm();
  for (const auto& [eps, name] : {std::pair{1e-5, "eps hard-coded 1e-5"}, {1e-6, "eps hard-coded 1e-6"}}) {
    norm.eps = eps;
    CHECK(stage().named(kNorm, norm(input())).find(name) != std::string::npos);
  }
  norm.eps = 0;
  const std::string named = stage().named(kNorm, norm(input()));
  CHECK(named.find("eps missing") != std::string::npos);
  CHECK(named.find("eps hard-coded 1e-12") != std::string::npos);
  Norm outside = right_norm();
  outside.outside = true;
  CHECK(first(kNorm, outside(input())) == "eps outside the root");
}

TEST_CASE("suspects of norms: another formula", "[reference][suspects]") {
  const auto with = [&](bool Norm::*flag) {
    Norm norm = right_norm();
    norm.*flag = true;
    return first(kNorm, norm(input()));
  };
  CHECK(first(kNorm, input()) == "norm left out");
  CHECK(with(&Norm::centred) == "mean subtracted");
  CHECK(with(&Norm::sum) == "sum of squares instead of the mean");
  CHECK(with(&Norm::no_root) == "square root missing");
  CHECK(with(&Norm::unbiased) == "divided by n - 1");
  CHECK(with(&Norm::whole) == "one mean for all rows");
  CHECK(first(kNorm, right_norm()(stage().get("model.layers.0.mlp_residual"))) ==
        "reads the stream before attention");
  Norm narrow = right_norm();
  narrow.bits = 11;
  CHECK(first(kNorm, narrow(input())) == "sum of squares in f16");
  narrow.bits = 8;
  CHECK(first(kNorm, narrow(input())) == "sum of squares in bf16");
  CHECK(first(kNorm, right_norm()(test::rounded(input(), 8))) == "bf16 input");
}

TEST_CASE("suspects of the embedding", "[reference][suspects]") {
  const Values table = stage().weight("model.embed_tokens.weight"), ids = stage().get("input_ids");
  const auto rows = [&](const Values& from, int shift) {
    Values y;
    for (const float id : ids) {
      const std::size_t row = (static_cast<std::size_t>(id) + static_cast<std::size_t>(50 + shift)) % 50;
      y.insert(y.end(), from.begin() + static_cast<std::ptrdiff_t>(row * kHidden),
               from.begin() + static_cast<std::ptrdiff_t>((row + 1) * kHidden));
    }
    return y;
  };
  const std::string probe = "model.embed_tokens";
  CHECK(first(probe, rows(table, 1)) == "id plus one");
  CHECK(first(probe, rows(table, -1)) == "id minus one");
  CHECK(first(probe, rows(stage().weight("lm_head.weight"), 0)) == "rows of lm_head");
  Values scaled = rows(table, 0);
  for (float& value : scaled) value *= std::sqrt(24.0f);
  CHECK(first(probe, scaled) == "embedding scaled by sqrt(hidden)");
  Values other;
  for (const float id : ids) {
    for (std::size_t i = 0; i < kHidden; ++i) other.push_back(table[i * 50 + static_cast<std::size_t>(id)]);
  }
  CHECK(first(probe, other) == "table read as [hidden, vocab]");
  Values misread = rows(table, 0), swapped = misread;
  for (float& value : misread) {
    const auto bits = std::bit_cast<std::uint32_t>(test::rounded(value, 8));
    value = f16_to_f32(static_cast<std::uint16_t>(bits >> 16));
  }
  CHECK(first(probe, misread) == "bf16 read as f16");
  for (float& value : swapped)
    value = std::bit_cast<float>(__builtin_bswap32(std::bit_cast<std::uint32_t>(value)));
  CHECK(first(probe, swapped) == "bytes swapped");
  CHECK(stage().named(probe, test::rounded(rows(table, 0), 8)).find("bf16 weights") == 0);
  CHECK(stage().named(probe, test::rounded(rows(table, 0), 11)).find("f16 weights") == 0);
}

TEST_CASE("suspects of residuals", "[reference][suspects]") {
  const std::string probe = kLayer + "mlp_residual", attention = kLayer + "attn_residual";
  const Values x = stage().get(attention), b = stage().get(kLayer + "mlp.down_proj");
  const auto add = [](float p, float q) { return p + q; };
  CHECK(first(probe, b) == "residual missing");
  CHECK(first(probe, x) == "branch missing");
  CHECK(first(probe, by_element(stage().get(kNorm), b, add)) == "residual from the normed input");
  CHECK(first(probe, by_element(stage().get("model.layers.0.mlp_residual"), b, add)) ==
        "residual from the layer's input");
  CHECK(first(probe, by_element(x, b, [](float p, float q) { return p + q + p; })) == "residual added twice");
  CHECK(first(probe, by_element(x, b, [](float p, float q) { return p + q + q; })) == "branch added twice");
  CHECK(first(probe, by_element(x, b, [](float p, float q) { return p - q; })) == "branch subtracted");
  const auto narrow = [](int bits) { return [=](float v) { return test::rounded(v, bits); }; };
  const auto bf16 = narrow(8);
  CHECK(first(probe, by_element(x, b, [&](float p, float q) { return bf16(p) + bf16(q); })) == "bf16 inputs");
  CHECK(first(probe, by_element(x, b, [&](float p, float q) { return p + bf16(q); })) == "bf16 branch");
  CHECK(stage().named(probe, test::rounded(stage().get(probe), 8)).find("bf16 residual") == 0);
  CHECK(stage().named(probe, test::rounded(stage().get(probe), 11)).find("f16 residual") == 0);
  const Values o = stage().get(kLayer + "self_attn.o_proj");
  CHECK(first(attention, by_element(stage().get("model.embed_tokens"), o, add)) ==
        "residual from the layer before");
  CHECK(first(attention, by_element(stage().get(kLayer + "input_layernorm"), o, add)) ==
        "residual from the normed input");
}

TEST_CASE("suspects of the activation", "[reference][suspects]") {
  const std::string probe = kLayer + "mlp.act";
  const Values g = stage().get(kLayer + "mlp.gate_proj"), u = stage().get(kLayer + "mlp.up_proj");
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto named = [&](auto formula) { return first(probe, by_element(g, u, formula)); };
  CHECK(named([](double x, double y) { return x * std::erfc(-x / std::sqrt(2.0)) / 2 * y; }) ==
        "GELU instead of SiLU");
  CHECK(named([](double x, double y) {
          return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) * y;
        }) == "GELU (tanh) instead of SiLU");
  CHECK(named([&](double x, double y) { return x * sigmoid(1.702 * x) * y; }) ==
        "quick GELU instead of SiLU");
  CHECK(named([](double x, double y) { return std::max(x, 0.0) * y; }) == "ReLU instead of SiLU");
  CHECK(named([&](double x, double y) { return sigmoid(x) * y; }) == "sigmoid instead of SiLU");
  CHECK(named([&](double x, double y) { return y * sigmoid(y) * x; }) == "gate and up swapped");
  CHECK(named([](double x, double y) { return x * y; }) == "no activation on gate");
  CHECK(named([&](double x, double) { return x * sigmoid(x); }) == "up left out");
  CHECK(named([&](double x, double y) { return x * sigmoid(x) + y; }) == "up added instead of multiplied");
  CHECK(named([&](double x, double y) { return x * y * sigmoid(x * y); }) == "activation on the product");
  CHECK(named([&](double x, double y) { return x * sigmoid(-x) * y; }) == "sigmoid of the wrong sign");
  for (const int bits : {8, 11}) {
    CHECK(named([&](float x, float y) {
            const double gate = test::rounded(x, bits);
            return gate * sigmoid(gate) * test::rounded(y, bits);
          }) == (bits == 8 ? "bf16 inputs" : "f16 inputs"));
  }
}
