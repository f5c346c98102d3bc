#include "reference/rope.h"

#include <cmath>

#include <catch2/catch.hpp>

#include "harness/judge.h"
#include "harness/tolerance.h"
#include "reference/config.h"
#include "reference/replay.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

TEST_CASE("rope: frequencies and attention factors are transformers' own, YaRN's too", "[reference][rope]") {
  const nlohmann::json goldens = test::read_json(test::fixture("goldens/configs.json"));
  for (const nlohmann::json& golden : goldens.at("configs")) {
    const std::string name = golden.at("config");
    INFO(name);
    const auto path = std::filesystem::path(PLUMBLINE_SOURCE_DIR) / name;
    const ModelConfig config = reference::parse_config(test::read_json(path).dump(), name);
    const auto expected = golden.at("derived").at("inv_freq").get<std::vector<double>>();
    const Tensor actual = reference::inv_freq(config);
    REQUIRE(static_cast<std::size_t>(actual.elements()) == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double ulp = 2.0 * half_spacing(expected[i], DType::f32);
      const double error = std::fabs(double{actual.values<float>()[i]} - expected[i]);
      CHECK(error <= 2.0 * ulp);  // torch's own pow may differ by CPU
    }
    CHECK(config.rope.attention_factor ==
          Approx(golden.at("derived").at("attention_scaling").get<double>()).epsilon(1e-15));
  }
}

TEST_CASE("rope: rotates halves, not neighbouring pairs", "[reference][rope]") {
  const std::vector<double> x{1, 2, 3, 4, 10, 20, 30, 40};  // two heads of four
  const std::vector<double> cos{0.5, 0.25, 0.5, 0.25};
  const std::vector<double> sin{2, 3, 2, 3};
  const Tensor rotated = reference::rotate(Tensor::from<double>(DType::f64, {1, 2, 4}, x).view(),
                                           Tensor::from<double>(DType::f64, {1, 4}, cos).view(),
                                           Tensor::from<double>(DType::f64, {1, 4}, sin).view());
  // x1 cos - x2 sin, x2 cos + x1 sin with (x1, x2) = (1, 3) and (2, 4)
  const std::vector<double> head{0.5 - 6, 0.5 - 12, 1.5 + 2, 1 + 6};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(rotated.values<double>()[i] == head[i]);
    CHECK(rotated.values<double>()[i + 4] == 10 * head[i]);
  }
}

TEST_CASE("rope: cos and sin are taken at the f32 product of position and frequency", "[reference][rope]") {
  const ModelConfig config = reference::load_config(test::tiny_model());
  const Tensor frequencies = reference::inv_freq(config);
  const std::vector<std::int64_t> positions{0, 1, 777, 30000};
  const auto f64 = reference::cos_sin(config, positions, DType::f64);
  const auto f32 = reference::cos_sin(config, positions, DType::f32);
  REQUIRE(f64.cos.shape() == Shape{4, 20});
  for (std::size_t row = 0; row < 4; ++row) {
    for (std::size_t i = 0; i < 20; ++i) {
      const float angle = static_cast<float>(positions[row]) * frequencies.values<float>()[i % 10];
      CHECK(f64.cos.values<double>()[row * 20 + i] == Approx(std::cos(double{angle})).margin(1e-15));
      CHECK(f64.sin.values<double>()[row * 20 + i] == Approx(std::sin(double{angle})).margin(1e-15));
      CHECK(std::fabs(f32.sin.values<float>()[row * 20 + i] - std::sin(double{angle})) <= 0x1p-23);
    }
  }
  CHECK_THROWS_AS(reference::cos_sin(config, std::vector<std::int64_t>{-1}, DType::f32), Error);
}

TEST_CASE("rope: YaRN's attention factor multiplies cos and sin", "[reference][rope]") {
  nlohmann::json json = test::small_config();
  json["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}};
  const ModelConfig config = reference::parse_config(json.dump(), "config.json");
  CHECK(config.rope.attention_factor == Approx(0.1 * std::log(4.0) + 1.0).epsilon(1e-15));
  const auto waves = reference::cos_sin(config, std::vector<std::int64_t>{0}, DType::f64);
  CHECK(waves.cos.values<double>()[0] == config.rope.attention_factor);
}

namespace {

// The cosine of what a small checkpoint with this attention factor computes at 400 positions, as an engine
// makes it: in f32, times the factor in f32. `error` of one element in units of u f (1 + |cos|) comes on top.
OpResult judged_cosine(const nlohmann::json& scaling, double factor, double error) {
  constexpr std::int64_t kTokens = 400, kDim = 10;
  TemporaryDirectory directory;
  nlohmann::json json = test::small_config();
  json["max_position_embeddings"] = 1024;
  if (!scaling.empty()) json["rope_scaling"] = scaling;
  test::write_random_checkpoint(directory.path(), json, 5);
  const auto replayer = reference::make_replayer(directory.path(), DType::f32);
  const Tensor table = reference::inv_freq(replayer->config());
  Tensor cos(DType::f32, {kTokens, kDim});
  for (std::int64_t i = 0; i < kTokens * kDim; ++i) {
    const float angle =
        static_cast<float>(i / kDim) * table.values<float>()[static_cast<std::size_t>(i % kDim % 5)];
    const double right = std::cos(double{angle});
    float& made = cos.values<float>()[static_cast<std::size_t>(i)];
    made = static_cast<float>(right) * static_cast<float>(factor);
    const bool planted = error != 0 && i == 123 * kDim + 2;
    const double largest = factor == 1.0 ? 1.0 : 1.0 + std::fabs(right);
    if (planted) made = static_cast<float>(right * factor + error * 0x1p-24 * factor * largest);
  }
  test::HandMadeStep step(kTokens, 0);
  step.set({Probe::inv_freq, -1}, table);
  step.set({Probe::cos, -1}, cos);
  const Tolerances tolerances = Tolerances::load(test::fixture("tolerances.yaml"));
  return judge_op({Probe::cos, -1}, step, *replayer, tolerances, DType::f32, DeviceKind::cpu);
}

}  // namespace

TEST_CASE("rope: the bound of cos and sin knows the roundings of the factor and of the product with it",
          "[reference][rope]") {
  const double lambda = 2.5;
  // Factors whose f32 lies far from them, and YaRN's own for 4 and 32.
  for (const double factor :
       {1.0 + 0x1.7fp-16, 1.3 + 0x1p-24, 0.1 * std::log(4.0) + 1, 0.1 * std::log(32.0) + 1}) {
    const nlohmann::json scaling{{"type", "yarn"}, {"factor", 4.0}, {"attention_factor", factor}};
    INFO("factor " << factor);
    const OpResult right = judged_cosine(scaling, factor, 0);
    CHECK(right.verdict == Verdict::passed);
    CHECK(right.share <= 0.5);
    CHECK(judged_cosine(scaling, factor, lambda - 0.5).verdict == Verdict::passed);
    CHECK(judged_cosine(scaling, factor, lambda + 0.5).verdict == Verdict::failed);
    CHECK(judged_cosine(scaling, factor, -lambda - 0.5).verdict == Verdict::failed);
  }
  // Without a factor B is u.
  const OpResult plain = judged_cosine({}, 1.0, 0);
  CHECK(plain.verdict == Verdict::passed);
  CHECK(plain.gate == Approx(lambda * 0x1p-24).epsilon(1e-12));
  CHECK(judged_cosine({}, 1.0, lambda + 0.5).verdict == Verdict::failed);
}
