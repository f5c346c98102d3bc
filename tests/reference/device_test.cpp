// The reference on a device: everything lies there, and what is handed out is on the host. On the stand-in
// everywhere, on an NVIDIA GPU where LibTorch has one.
#include <algorithm>
#include <functional>

#include "harness/trace.h"
#include "reference/config.h"
#include "reference/internal/device_torch.h"
#include "reference/internal/engine_torch.h"
#include "reference/internal/ops_torch.h"
#include "tests/reference/device_stand_in.h"
#include "tests/reference/fixtures.h"

#undef CHECK  // LibTorch's, which ends the process
#include <catch2/catch.hpp>

using namespace plumbline;
using reference::Hold;
using test::counted;
using test::error_of;
using test::some_tokens;

namespace {

constexpr Device kGpu{DeviceKind::cuda, 0};
const at::Device kThere(at::kPrivateUse1, 0);

std::unique_ptr<Engine> on_stand_in(const std::filesystem::path& model, DType dtype, Hold hold = Hold::all) {
  const ModelConfig config = reference::load_config(model);
  auto weights = std::make_shared<const reference::Weights>(model, config, dtype, dtype, hold, kThere);
  return reference::engine_over(config, std::move(weights), {.dtype = dtype, .device = kGpu});
}

Trace steps_of(Engine& engine) {
  const auto tokens = some_tokens(40, static_cast<TokenId>(engine.config().vocab_size));
  const auto cache = engine.make_cache({CacheKind::concat, 1, 0, engine.info().storage});
  return record_steps(engine, *cache, tokens, std::vector<std::int64_t>{33, 1, 6});
}

void check_same_bits(const Trace& expected, const Trace& actual) {
  for (std::size_t step = 0; step < expected.steps.size(); ++step) {
    REQUIRE(actual.steps.at(step).tensors.size() == expected.steps[step].tensors.size());
    for (const auto& [site, tensor] : expected.steps[step].tensors) {
      INFO(site_name(site) << " of step " << step);
      CHECK(std::ranges::equal(actual.steps[step].tensors.at(site).bytes(), tensor.bytes()));
    }
  }
}

// Takes one site's values two off, wherever they lie in memory, and keeps the logits.
class Shifting final : public ProbeSink {
 public:
  explicit Shifting(OpSite site) : site_(site) {}
  Access access(const ProbeId& id) const override {
    if (id.site == site_) return Access::write;
    return id.site == OpSite{Probe::lm_head, -1} ? Access::read : Access::none;
  }
  void receive(const ProbeId&, const TensorView& view) override { logits = copy_host(view); }
  void modify(const ProbeId&, const MutableTensorView& view) override {
    for (std::int64_t row = 0; row < view.shape[0]; ++row)
      static_cast<float*>(view.mutable_data)[row * view.strides[0]] -= 2.0f;
  }
  Tensor logits;

 private:
  OpSite site_;
};

Tensor shifted(Engine& engine, OpSite site) {
  const auto tokens = some_tokens(5);
  const auto positions = counted(0, 5);
  const SequenceStep step{0, tokens, positions, LogitsWanted::all};
  Shifting sink(site);
  engine.forward(std::span(&step, 1), *engine.make_cache({}), sink);
  return sink.logits;
}

}  // namespace

TEST_CASE("stand-in: an op with tensors of the host beside the device's is refused", "[reference][device]") {
  const at::InferenceMode guard;
  const at::Tensor here = at::ones({4, 8}), there = here.to(kThere), weight = at::ones({6, 8}).to(kThere);
  const at::Tensor ids = at::zeros({3}, at::kLong), mask = at::ones({4, 8}, at::kBool);
  const auto refused = [](const std::function<at::Tensor()>& op) {
    try {
      op();
    } catch (const c10::Error& e) {  // LibTorch's own words, or the stand-in's
      const std::string told = e.what_without_backtrace();
      return told.find("privateuseone:0 and cpu!") != told.npos || told.find("a tensor on cpu") != told.npos;
    }
    return false;
  };
  namespace ops = reference::ops;
  CHECK(refused([&] { return ops::linear(here, weight, {}); }));
  CHECK(refused([&] { return ops::linear(there, weight.cpu(), {}); }));
  CHECK(refused([&] { return ops::linear(there, weight, at::ones({6})); }));
  CHECK(refused([&] { return ops::embedding(ids, weight); }));
  CHECK(refused([&] { return ops::embedding(ids.to(kThere), weight.cpu()); }));
  CHECK(refused([&] { return ops::residual(there, here); }));
  CHECK(refused([&] { return ops::softmax(there, mask); }));
  CHECK(refused([&] { return at::cat({there, here}); }));
  CHECK(refused([&] { return at::matmul(there, here.t()); }));
  CHECK(at::equal(ops::linear(there, weight, {}).cpu(), at::full({4, 6}, 8.0f)));
}

TEST_CASE("reference on a device: every tensor lies there, with the bits of the CPU", "[reference][device]") {
  for (const char* name : {"tiny", "zoo/everything", "zoo/window-4x"}) {
    const auto model = test::fixture(std::string("models/") + name);
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      INFO(name << " " << dtype_name(dtype));
      const Trace expected = steps_of(*reference::make_engine(model, {dtype, 1}));
      const auto engine = on_stand_in(model, dtype);
      const auto before = test::stand_in_counts().ops;
      check_same_bits(expected, steps_of(*engine));
      CHECK(test::stand_in_counts().ops - before > 500);
      CHECK(engine->info().device == kGpu);
      CHECK_FALSE(engine->info().one_order);
      engine->synchronize();
    }
  }
  const auto model = test::tiny_model();
  check_same_bits(steps_of(*reference::make_engine(model, {})),
                  steps_of(*on_stand_in(model, DType::f32, Hold::one_layer)));
}

TEST_CASE("reference on a device: what nobody listens to stays there", "[reference][device]") {
  const auto engine = on_stand_in(test::tiny_model(), DType::f32);
  const auto tokens = some_tokens(5);
  const auto positions = counted(0, 5);
  const SequenceStep step{0, tokens, positions, LogitsWanted::last};
  NullSink nothing;
  const auto before = test::stand_in_counts().to_host;
  const Logits logits = engine->forward(std::span(&step, 1), *engine->make_cache({}), nothing);
  CHECK(test::stand_in_counts().to_host - before == 1);
  CHECK(logits.steps.at(0).device == Device{});
}

TEST_CASE("reference on a device: what a sink writes goes back to it", "[reference][device]") {
  const auto here = reference::make_engine(test::tiny_model(), {});
  const auto there = on_stand_in(test::tiny_model(), DType::f32);
  const Tensor plain = record_prefill(*here, some_tokens(5)).steps[0].tensors.at({Probe::lm_head, -1});
  for (const OpSite site : {OpSite{Probe::cos, -1}, OpSite{Probe::k_rope, 1}, OpSite{Probe::probs, 0},
                            OpSite{Probe::past_value, 4}, OpSite{Probe::norm, -1}}) {
    INFO(site_name(site));
    const Tensor expected = shifted(*here, site);
    CHECK_FALSE(std::ranges::equal(expected.bytes(), plain.bytes()));
    CHECK(std::ranges::equal(shifted(*there, site).bytes(), expected.bytes()));
  }
}

TEST_CASE("reference on a device: without room it is one line, and the cache as it was",
          "[reference][device]") {
  const auto engine = on_stand_in(test::tiny_model(), DType::f32);
  const auto cache = engine->make_cache({});
  const std::vector<TokenId> tokens{1, 2};
  const auto positions = counted(0, 2);
  const SequenceStep step{0, tokens, positions};
  NullSink nothing;
  test::limit_stand_in(100'000);
  const std::string told = error_of([&] { engine->forward(std::span(&step, 1), *cache, nothing); });
  test::limit_stand_in(0);
  CHECK_THAT(told, Catch::Contains("the stand-in has no"));
  CHECK(cache->length(0) == 0);
  engine->forward(std::span(&step, 1), *cache, nothing);
  CHECK(cache->length(0) == 2);
}

TEST_CASE("reference on a device: plain products, in f32 where they are f32", "[reference][device]") {
  at::Context& context = at::globalContext();
  reference::compute_plainly();
  CHECK_FALSE(context.allowTF32CuBLAS());
  CHECK_FALSE(context.allowTF32CuDNN());
  CHECK(context.deterministicAlgorithms());
  CHECK_FALSE(context.deterministicAlgorithmsWarnOnly());
  context.setDeterministicAlgorithms(false, false);
}

TEST_CASE("reference on an NVIDIA GPU: as on the CPU, or refused in one line", "[reference][device]") {
  const std::string why = reference::why_no_cuda();
  const auto opened = [](Device device) {
    return error_of([&] { reference::make_engine(test::tiny_model(), {.device = device}); });
  };
  if (!why.empty()) {
    CHECK_THAT(opened(kGpu), Catch::StartsWith("reference engine: " + why));
    return;
  }
  CHECK_THAT(opened({DeviceKind::cuda, 999}), Catch::Contains("LibTorch sees no cuda:999"));
  for (const auto& [dtype, limit] : {std::pair(DType::f32, 2e-5), std::pair(DType::f64, 1e-10)}) {
    const Trace here = steps_of(*reference::make_engine(test::tiny_model(), {dtype, 1}));
    const auto engine = reference::make_engine(test::tiny_model(), {.dtype = dtype, .device = kGpu});
    const Trace there = steps_of(*engine);
    for (const auto& [site, tensor] : here.steps[0].tensors) {
      if (site.probe != Probe::mlp_residual && site.probe != Probe::lm_head) continue;
      CHECK(test::largest_difference(tensor.view(), there.steps[0].tensors.at(site).view(), true) <= limit);
    }
    check_same_bits(there, steps_of(*engine));
  }
}
