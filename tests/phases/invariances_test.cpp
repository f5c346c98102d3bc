#include "phases/support/invariances.h"

#include <cmath>
#include <span>

#include <catch2/catch.hpp>

#include "impl/cpu/engine.h"
#include "phases/support/cache_models.h"

using namespace plumbline;
using namespace plumbline::phases;

namespace {

// The native engine, whose last logit of a call is one ulp off where `wrong` says so.
class Flawed final : public Engine {
 public:
  using Wrong = std::function<bool(std::span<const SequenceStep>, const Cache&)>;
  Flawed(std::unique_ptr<Engine> right, Wrong wrong) : right_(std::move(right)), wrong_(std::move(wrong)) {}
  const EngineInfo& info() const override { return right_->info(); }
  const ModelConfig& config() const override { return right_->config(); }
  const std::string& weight_hash() const override { return right_->weight_hash(); }
  std::unique_ptr<Cache> make_cache(const CacheSpec& spec) const override { return right_->make_cache(spec); }
  Logits forward(std::span<const SequenceStep> steps, Cache& cache, ProbeSink& sink) override {
    const bool wrong = wrong_(steps, cache);
    Logits logits = right_->forward(steps, cache, sink);
    kept_.clear();
    for (TensorView& view : logits.steps) {
      kept_.push_back(copy_host(view));
      float& last = kept_.back().values<float>().back();
      if (wrong) last = std::nextafter(last, 1e30f);
      view = kept_.back().view();
    }
    return logits;
  }
  Tensor to_host(const TensorView& view) override { return right_->to_host(view); }
  void synchronize() override { right_->synchronize(); }

 private:
  std::unique_ptr<Engine> right_;
  Wrong wrong_;
  std::vector<Tensor> kept_;
};

Invariances measured(const Flawed::Wrong& wrong) {
  Invariances all;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    const RandomModel model(seed);
    Flawed engine(native::make_cpu_engine(model.directory(), {.threads = 1}), wrong);
    all.measure(engine, "model " + std::to_string(seed), seed, false);
  }
  return all;
}

std::int64_t different(const Invariances& all, const std::string& name) {
  for (const Invariance& row : all.rows()) {
    if (row.name == name) return row.different;
  }
  FAIL("no such invariance: " << name);
  return 0;
}

constexpr const char* kCached = "cached = uncached";
constexpr const char* kBatch = "alone = in a batch of any others";
constexpr const char* kCrop = "cropped and re-extended = never extended";
constexpr const char* kFixed = "fixed = concatenating";

}  // namespace

TEST_CASE("invariances: the native engine has none that is broken, and each was compared") {
  const Invariances all = measured([](auto, const Cache&) { return false; });
  CHECK(all.rows().size() >= 6);
  for (const Invariance& row : all.rows()) {
    INFO(row.name << ": " << row.first);
    CHECK(row.different == 0);
    CHECK(row.logits > 0);
  }
}

TEST_CASE("invariances: none is broken in bf16 and f16, over caches of the same dtype") {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    Invariances all;
    for (unsigned seed = 1; seed <= 4; ++seed) {
      const RandomModel model(seed);
      const Invariances::Open open = [&](int threads, const std::string& isa) {
        return native::make_cpu_engine(model.directory(), {threads, isa, dtype});
      };
      all.measure(*open(1, {}), "model " + std::to_string(seed), seed, false);
      all.measure_engines(open, {2, 3}, native::available_isas(), "model", seed);
    }
    CHECK(all.refusals().reasons().empty());
    CHECK(all.rows().size() >= 8);
    for (const Invariance& row : all.rows()) {
      INFO(dtype_name(dtype) << ", " << row.name << ": " << row.first);
      CHECK(row.different == 0);
      CHECK(row.logits > 0);
    }
  }
}

TEST_CASE("invariances: one ulp in one logit is seen where it belongs, with its place") {
  const Invariances in_batch =
      measured([](std::span<const SequenceStep> steps, const Cache&) { return steps.size() > 1; });
  CHECK(different(in_batch, kBatch) > 0);
  for (const char* other : {kCached, kCrop, kFixed}) CHECK(different(in_batch, other) == 0);

  const Invariances decoding = measured([](std::span<const SequenceStep> steps, const Cache& cache) {
    return steps[0].tokens.size() == 1 && cache.length(0) > 0;
  });
  CHECK(different(decoding, kCached) > 0);
  for (const Invariance& row : decoding.rows()) {
    if (row.different == 0) continue;
    CHECK(row.largest > 0);
    CHECK(row.first.find("position") != std::string::npos);
  }

  const Invariances fixed =
      measured([](auto, const Cache& cache) { return cache.spec().kind == CacheKind::fixed; });
  CHECK(different(fixed, kFixed) > 0);
  CHECK(different(fixed, kCrop) > 0);
  CHECK(different(fixed, kBatch) == 0);
}

TEST_CASE("invariances: an engine that depends on its threads or instruction set is seen") {
  const RandomModel model(2);
  const Invariances::Open open = [&](int threads, const std::string&) -> std::unique_ptr<Engine> {
    return std::make_unique<Flawed>(native::make_cpu_engine(model.directory(), {.threads = 1}),
                                    [threads](auto, const Cache&) { return threads == 3; });
  };
  Invariances all;
  all.measure_engines(open, {2, 3}, {"scalar"}, "model", 2);
  CHECK(different(all, "1 to n threads") == 1);
}

TEST_CASE("invariances: the same calls, again and beside others, and each difference where it belongs") {
  const auto calls = [](const Flawed::Wrong& wrong) {
    const RandomModel model(2);
    Flawed engine(native::make_cpu_engine(model.directory(), {.threads = 1}), wrong);
    Invariances all;
    for (unsigned seed = 1; seed <= 4; ++seed) all.measure_calls(engine, "model", seed);
    REQUIRE(all.rows().size() == 2);
    for (const Invariance& row : all.rows()) CHECK(row.logits > 0);
    return all;
  };
  constexpr const char* kAgain = "the same calls again";
  constexpr const char* kBeside = "the same calls beside others";
  const Invariances right = calls([](auto, const Cache&) { return false; });
  CHECK(different(right, kAgain) == 0);
  CHECK(different(right, kBeside) == 0);
  const Invariances in_batch =
      calls([](std::span<const SequenceStep> steps, const Cache&) { return steps.size() > 1; });
  CHECK(different(in_batch, kAgain) == 0);
  CHECK(different(in_batch, kBeside) > 0);
  int count = 0;
  const Invariances at_times = calls([&](auto, const Cache&) { return ++count % 3 == 0; });
  CHECK(different(at_times, kAgain) > 0);
}
