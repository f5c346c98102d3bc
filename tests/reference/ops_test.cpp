// Each op's replay and bound against the formula written out again in plain f64 loops.
#include <cmath>
#include <random>

#include <catch2/catch.hpp>

#include "reference/mask.h"
#include "reference/replay.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

namespace {

constexpr double kU = 0x1p-24;

Tensor random_tensor(Shape shape, unsigned seed, double spread = 1.0) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, spread);
  Tensor tensor(DType::f32, shape);
  for (float& value : tensor.values<float>()) value = static_cast<float>(normal(random));
  return tensor;
}

// A row of numbers in order, as the bound of a sum reads them.
double sum_bound(const std::vector<double>& terms, double bias, std::size_t n) {
  const std::size_t step = (n + 15) / 16;
  double running = 0, squares = bias * bias;
  double highest = std::fabs(bias), lowest = -std::fabs(bias);
  for (std::size_t i = 0; i < n; ++i) {
    running += terms[i];
    squares += terms[i] * terms[i];
    const bool read = (i + 1) % step == 0 || i + 1 == n;
    if (read) highest = std::max(highest, running), lowest = std::min(lowest, running);
  }
  return kU * std::sqrt(static_cast<double>(n)) * (highest - lowest + std::sqrt(squares));
}

struct Small {
  Small() {
    test::write_random_checkpoint(directory.path(), test::small_config(), 4);
    weights = test::read_tensors(directory / "model.safetensors");
    replayer = reference::make_replayer(directory.path(), DType::f32);
  }
  Replay replay(OpSite site, const RecordedStep& step) const {
    std::string why;
    auto result = replayer->replay(site, step, DType::f32, why);
    INFO(site_name(site) << ": " << why);
    REQUIRE(result.has_value());
    return std::move(*result);
  }
  double weight(const std::string& name, std::int64_t i) const {
    return element_as_f64(weights.at(name).view(), i);
  }

  TemporaryDirectory directory;
  std::map<std::string, Tensor> weights;
  std::unique_ptr<Replayer> replayer;
};

double value(const Tensor& tensor, std::int64_t i) {
  return element_as_f64(tensor.view(), i);
}

void check_near(double actual, double expected) {
  if (!(std::fabs(actual - expected) <= 1e-12 * std::max(1e-6, std::fabs(expected)))) {
    CHECK(actual == Approx(expected).epsilon(1e-12));
  }
}

}  // namespace

TEST_CASE("linear: sum, bias, and a bound that follows the running sum", "[reference][linear]") {
  const Small small;
  test::HandMadeStep step(3, 0);
  const double spread = GENERATE(1.0, 1e-25, 1e-35, 1e25);  // products beyond f32's range among them
  step.set({Probe::input_layernorm, 1}, random_tensor({3, 24}, 1, spread));
  step.set({Probe::act, 1}, random_tensor({3, 40}, 2, spread));
  const auto check = [&](OpSite site, OpSite input, const std::string& name, std::int64_t in,
                         std::int64_t out, bool has_bias) {
    const Replay replay = small.replay(site, step);
    const TensorView x = *step.find(input);
    for (std::int64_t row = 0; row < 3; ++row) {
      for (std::int64_t o = 0; o < out; ++o) {
        const double bias = has_bias ? small.weight(name + ".bias", o) : 0.0;
        std::vector<double> terms;
        double sum = bias;
        for (std::int64_t i = 0; i < in; ++i) {
          terms.push_back(element_as_f64(x, row * in + i) * small.weight(name + ".weight", o * in + i));
          sum += terms.back();
        }
        check_near(value(replay.expected, row * out + o), sum);
        // The bound is computed in f32: to about a millionth.
        const double bound = sum_bound(terms, bias, terms.size());
        CHECK(std::fabs(value(replay.bound, row * out + o) / bound - 1) <= 1e-5);
      }
    }
  };
  check({Probe::v_proj, 1}, {Probe::input_layernorm, 1}, "model.layers.1.self_attn.v_proj", 24, 20, true);
  check({Probe::down_proj, 1}, {Probe::act, 1}, "model.layers.1.mlp.down_proj", 40, 24, false);
}

TEST_CASE("rms_norm: mean of squares plus eps, root, times the weight", "[reference][rms_norm]") {
  const Small small;
  test::HandMadeStep step(2, 0);
  const Tensor x = random_tensor({2, 24}, 5, 1e-3);  // small enough for eps to show
  step.set({Probe::attn_residual, 2}, x);
  const Replay replay = small.replay({Probe::post_attention_layernorm, 2}, step);
  for (std::int64_t row = 0; row < 2; ++row) {
    double squares = 0;
    for (std::int64_t i = 0; i < 24; ++i) squares += std::pow(value(x, row * 24 + i), 2);
    for (std::int64_t i = 0; i < 24; ++i) {
      const double y = small.weight("model.layers.2.post_attention_layernorm.weight", i) *
                       value(x, row * 24 + i) / std::sqrt(squares / 24 + 1e-6);
      check_near(value(replay.expected, row * 24 + i), y);
      check_near(value(replay.bound, row * 24 + i), kU * std::fabs(y) * (std::sqrt(24.0) / 2 + 4));
    }
  }
}

TEST_CASE("rope: recorded cos and sin are data", "[reference][rope]") {
  const Small small;
  test::HandMadeStep step(2, 0);
  const Tensor q = random_tensor({2, 40}, 6);
  const Tensor cos = random_tensor({2, 10}, 7);
  const Tensor sin = random_tensor({2, 10}, 8);
  step.set({Probe::q_proj, 0}, q);
  step.set({Probe::cos, -1}, cos);
  step.set({Probe::sin, -1}, sin);
  const Replay replay = small.replay({Probe::q_rope, 0}, step);
  CHECK(replay.ceiling_holds);
  for (std::int64_t row = 0; row < 2; ++row) {
    for (std::int64_t head = 0; head < 4; ++head) {
      for (std::int64_t i = 0; i < 10; ++i) {
        const std::int64_t base = row * 40 + head * 10;
        const double partner = i < 5 ? -value(q, base + i + 5) : value(q, base + i - 5);
        const double y = value(q, base + i) * value(cos, row * 10 + i) + partner * value(sin, row * 10 + i);
        check_near(value(replay.expected, base + i), y);
        check_near(value(replay.bound, base + i),
                   4 * kU * (std::fabs(value(q, base + i)) + std::fabs(partner)));
      }
    }
  }
}

TEST_CASE("rope: an engine's own table of frequencies widens the bound with the angle", "[reference][rope]") {
  const Small small;
  test::HandMadeStep step(1, 0);
  step.set_given({{3}, {50000}});
  const Tensor k = random_tensor({1, 20}, 6);
  step.set({Probe::k_proj, 0}, k);
  const Replay rotated = small.replay({Probe::k_rope, 0}, step);
  CHECK_FALSE(rotated.ceiling_holds);  // of 1e-6: a contract for given cosines and sines
  const Replay cos = small.replay({Probe::cos, -1}, step);
  for (std::int64_t i = 0; i < 10; ++i) {
    const auto frequency = static_cast<float>(std::pow(10000.0, -2.0 * static_cast<double>(i % 5) / 10.0));
    const double angle = double{50000.0f * frequency};  // near the reference's table's: enough for the bound
    const double u = kU * std::fabs(angle);
    const double partner = i < 5 ? -value(k, i + 5) : value(k, i - 5);
    const double products = std::fabs(value(k, i) * std::cos(angle)) + std::fabs(partner * std::sin(angle));
    const double slope = std::fabs(partner * std::cos(angle) - value(k, i) * std::sin(angle));
    // lambda is rope's 1.25 and cos_sin's 2.5 there; these bounds were measured with 10.
    CHECK(1.25 * value(rotated.bound, i) == Approx(10 * (4 * kU * products + 2 * u * slope)).epsilon(0.05));
    CHECK(2.5 * value(cos.bound, i) == Approx(2.5 * kU + 20 * u * std::fabs(std::sin(angle))).epsilon(0.05));
  }
}

TEST_CASE("attention: scores, softmax and context over allowed keys alone", "[reference][attention]") {
  const Small small;
  const int layer = GENERATE(0, 1);  // full, and a window of three
  const std::int64_t past = 2, queries = 3, keys = 5;
  test::HandMadeStep step(queries, past);
  const Tensor q = random_tensor({queries, 4, 10}, 9);
  const Tensor k = random_tensor({keys, 2, 10}, 10);
  const Tensor v = random_tensor({keys, 2, 10}, 11);
  step.set({Probe::q_rope, layer}, q);
  step.set({Probe::past_key, layer}, k);
  step.set({Probe::past_value, layer}, v);
  const Replay fused = small.replay({Probe::context, layer}, step);
  CHECK(small.replayer->judged_as({Probe::context, layer}, step) == OpClass::fused_attention);
  const Tensor s = random_tensor({4, queries, keys}, 12, 3.0);
  Tensor p = random_tensor({4, queries, keys}, 13);
  for (std::int64_t i = 0; i < p.elements(); ++i) {  // no weight at forbidden places
    const std::int64_t key = i % keys, last = past + i / keys % queries;
    if (key > last || (layer == 1 && key < last - 2)) p.values<float>()[static_cast<std::size_t>(i)] = 0.0f;
  }
  step.set({Probe::scores, layer}, s);
  step.set({Probe::probs, layer}, p);
  CHECK(small.replayer->judged_as({Probe::context, layer}, step) == OpClass::context);
  const Replay scores = small.replay({Probe::scores, layer}, step);
  const Replay probs = small.replay({Probe::probs, layer}, step);
  const Replay context = small.replay({Probe::context, layer}, step);
  const double scale = 1.0 / std::sqrt(10.0);

  for (std::int64_t head = 0; head < 4; ++head) {
    const std::int64_t kv = head / 2;  // two query heads share a kv head
    for (std::int64_t i = 0; i < queries; ++i) {
      const std::int64_t last = past + i;
      const std::int64_t first = layer == 0 ? 0 : std::max<std::int64_t>(0, last - 2);
      const std::size_t n = static_cast<std::size_t>(last - first + 1);
      const auto at = [&](std::int64_t key) { return (head * queries + i) * keys + key; };
      // Scores, of all keys; their bound.
      std::vector<double> own(keys), own_bound(keys);
      for (std::int64_t key = 0; key < keys; ++key) {
        std::vector<double> terms;
        double dot = 0;
        for (std::int64_t d = 0; d < 10; ++d) {
          terms.push_back(value(q, (i * 4 + head) * 10 + d) * value(k, (key * 2 + kv) * 10 + d));
          dot += terms.back();
        }
        own[static_cast<std::size_t>(key)] = scale * dot;
        own_bound[static_cast<std::size_t>(key)] =
            scale * (sum_bound(terms, 0, 10) + kU * 2 * std::fabs(dot));
        check_near(value(scores.expected, at(key)), scale * dot);
        check_near(value(scores.bound, at(key)), own_bound[static_cast<std::size_t>(key)]);
        CHECK((value(scores.allowed, at(key)) != 0.0) == (key >= first && key <= last));
      }
      // Softmax of the recorded scores.
      const auto softmax_of = [&](auto score, std::vector<double>& out, std::vector<double>& distance) {
        double largest = -1e300, total = 0;
        for (std::int64_t key = first; key <= last; ++key) largest = std::max(largest, score(key));
        for (std::int64_t key = first; key <= last; ++key) total += std::exp(score(key) - largest);
        for (std::int64_t key = first; key <= last; ++key) {
          out.push_back(std::exp(score(key) - largest) / total);
          distance.push_back(largest - score(key));
        }
      };
      std::vector<double> weights, distance;
      softmax_of([&](std::int64_t key) { return value(s, at(key)); }, weights, distance);
      double mean_distance = 0;
      for (std::size_t j = 0; j < n; ++j) mean_distance += weights[j] * distance[j];
      for (std::int64_t key = 0; key < keys; ++key) {
        const bool seen = key >= first && key <= last;
        const std::size_t j = static_cast<std::size_t>(seen ? key - first : 0);
        check_near(value(probs.expected, at(key)), seen ? weights[j] : 0.0);
        const double bound =
            kU * weights[j] * (distance[j] + mean_distance + std::sqrt(static_cast<double>(n)) / 2 + 4) +
            0x1p-126;
        check_near(value(probs.bound, at(key)), seen ? bound : 0.0);
      }
      // Context of the recorded weights, and of the span from q.
      std::vector<double> fused_weights, fused_distance;
      softmax_of([&](std::int64_t key) { return own[static_cast<std::size_t>(key)]; }, fused_weights,
                 fused_distance);
      for (std::int64_t d = 0; d < 10; ++d) {
        const auto value_at = [&](std::int64_t key) { return value(v, (key * 2 + kv) * 10 + d); };
        const std::int64_t out = (i * 4 + head) * 10 + d;
        double sum = 0, c = 0, spread = 0;
        std::vector<double> terms, fused_terms;
        for (std::int64_t key = 0; key < keys; ++key) sum += value(p, at(key)) * value_at(key);
        for (std::int64_t key = first; key <= last; ++key) {
          terms.push_back(value(p, at(key)) * value_at(key));
          fused_terms.push_back(fused_weights[static_cast<std::size_t>(key - first)] * value_at(key));
          c += fused_terms.back();
        }
        for (std::int64_t key = first; key <= last; ++key) {
          const std::size_t j = static_cast<std::size_t>(key - first);
          const double score = own[static_cast<std::size_t>(key)];
          const double delta =
              own_bound[static_cast<std::size_t>(key)] + kU * (2 * fused_distance[j] + std::fabs(score));
          spread += std::pow(fused_weights[j] * (value_at(key) - c) * delta, 2);
        }
        check_near(value(context.expected, out), sum);
        check_near(value(fused.expected, out), c);
        check_near(value(context.bound, out), sum_bound(terms, 0, n));
        const double tail = kU * std::fabs(c) * (std::sqrt(static_cast<double>(n)) / 2 + 4) + 0x1p-126;
        const double bound = std::sqrt(spread) + sum_bound(fused_terms, 0, n) + tail;
        CHECK(value(fused.bound, out) == Approx(bound).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("attention: a weight at a forbidden place is softmax's mistake, not the context's",
          "[reference][attention]") {
  const Small small;
  test::HandMadeStep step(2, 0);
  const std::vector<float> leaking{0.5f, 0.5f, 0.25f, 0.75f};  // query 0 looks ahead
  std::vector<float> p;
  for (int head = 0; head < 4; ++head) p.insert(p.end(), leaking.begin(), leaking.end());
  const Tensor v = random_tensor({2, 2, 10}, 18);
  step.set({Probe::probs, 0}, Tensor::from<float>(DType::f32, {4, 2, 2}, p));
  step.set({Probe::past_value, 0}, v);
  const Replay context = small.replay({Probe::context, 0}, step);
  check_near(value(context.expected, 0), 0.5 * value(v, 0) + 0.5 * value(v, 20));
  step.set({Probe::scores, 0}, random_tensor({4, 2, 2}, 19));
  const Replay probs = small.replay({Probe::probs, 0}, step);
  CHECK(value(probs.expected, 0) == 1.0);
  CHECK(value(probs.expected, 1) == 0.0);
}

TEST_CASE("silu_mul: g / (1 + e^-g) * up", "[reference][silu_mul]") {
  const Small small;
  test::HandMadeStep step(2, 0);
  Tensor gate = random_tensor({2, 40}, 14, 5.0);
  gate.values<float>()[0] = -95.0f;
  const Tensor up = random_tensor({2, 40}, 15);
  step.set({Probe::gate_proj, 0}, gate);
  step.set({Probe::up_proj, 0}, up);
  const Replay replay = small.replay({Probe::act, 0}, step);
  for (std::int64_t i = 0; i < 80; ++i) {
    const double g = value(gate, i);
    const double y = g / (1 + std::exp(-g)) * value(up, i);
    check_near(value(replay.expected, i), y);
    check_near(value(replay.bound, i),
               kU * std::fabs(y) * (4 + std::max(0.0, -g)) + 0x1p-118 * (1 + std::fabs(value(up, i))));
  }
}

TEST_CASE("residual: the sum's one rounding to the storage type", "[reference][residual]") {
  const Small small;
  test::HandMadeStep step(1, 0);
  const Tensor a = random_tensor({1, 24}, 16, 100.0);
  const Tensor b = random_tensor({1, 24}, 17);
  step.set({Probe::attn_residual, 0}, a);
  step.set({Probe::down_proj, 0}, b);
  const Replay replay = small.replay({Probe::mlp_residual, 0}, step);
  CHECK(replay.bound.empty());
  for (std::int64_t i = 0; i < 24; ++i) {
    const float sum = static_cast<float>(value(a, i) + value(b, i));
    CHECK(value(replay.expected, i) == double{sum});
  }
}
