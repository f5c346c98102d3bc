// Holding one layer of weights changes nothing but the memory.
#include <algorithm>

#include <catch2/catch.hpp>

#include "harness/judge.h"
#include "harness/trace.h"
#include "reference/config.h"
#include "reference/engine.h"
#include "reference/replay.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using reference::Hold;

namespace {

Trace recorded(const std::filesystem::path& model, DType dtype, Hold hold) {
  const auto engine = reference::make_engine(model, {.dtype = dtype, .hold = hold});
  return record_prefill(*engine, test::some_tokens(40, static_cast<TokenId>(engine->config().vocab_size)));
}

}  // namespace

TEST_CASE("streamed weights: a forward pass has the same bits at every probe", "[reference][weights]") {
  for (const char* name : {"tiny", "zoo/bf16", "zoo/f16", "zoo/sharded", "zoo/everything"}) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const auto model = test::fixture(std::string("models/") + name);
      const Trace held = recorded(model, dtype, Hold::all);
      const Trace streamed = recorded(model, dtype, Hold::one_layer);
      REQUIRE(streamed.steps[0].tensors.size() == held.steps[0].tensors.size());
      for (const auto& [site, tensor] : held.steps[0].tensors) {
        INFO(name << " " << site_name(site));
        CHECK(std::ranges::equal(streamed.steps[0].tensors.at(site).bytes(), tensor.bytes()));
      }
    }
  }
}

TEST_CASE("streamed weights: a judgement is the same, on any number of threads", "[reference][weights]") {
  const TemporaryDirectory directory;
  test::write_random_checkpoint(directory.path(), test::small_config(), 3);
  const Tolerances tolerances = Tolerances::load(test::fixture("tolerances.yaml"));
  const auto engine = reference::make_engine(directory.path(), {.hold = Hold::one_layer});
  const std::vector<TokenId> tokens =
      test::some_tokens(40, static_cast<TokenId>(engine->config().vocab_size));
  const Trace trace = record_prefill(*engine, tokens);
  const auto judged = [&](Hold hold, int threads) {
    const auto replayer = reference::make_replayer(directory.path(), DType::f32, hold);
    JudgeOptions options;
    options.threads = threads;
    return judge(trace, *replayer, tolerances, options);
  };
  const Judgement held = judged(Hold::all, 1);
  CHECK(exit_status(held.counts()) == kExitPassed);
  for (const int threads : {1, 3}) {
    const Judgement streamed = judged(Hold::one_layer, threads);
    REQUIRE(streamed.ops.size() == held.ops.size());
    for (std::size_t i = 0; i < held.ops.size(); ++i) {
      INFO(site_name(held.ops[i].site));
      CHECK(streamed.ops[i].verdict == held.ops[i].verdict);
      CHECK(streamed.ops[i].share == held.ops[i].share);
      CHECK(streamed.ops[i].error == held.ops[i].error);
      CHECK(streamed.ops[i].slope == held.ops[i].slope);
      CHECK(streamed.ops[i].local.rms == held.ops[i].local.rms);
    }
  }
}

TEST_CASE("streamed replays: as many at a time as fit into the memory, at least one", "[reference][replay]") {
  ModelConfig config = reference::load_config(test::tiny_model());
  CHECK(reference::replays_within(config, 16, std::int64_t{5} << 30) >= 16);
  CHECK(reference::replays_within(config, 16, 0) == 1);
  CHECK(reference::replays_within(config, 1 << 20, std::int64_t{5} << 30) <
        reference::replays_within(config, 16, std::int64_t{5} << 30));
}
