// How fast the native engine runs a prefill and a decode step, beside the literal reference on the same
// prompt in the same run: read the ratios, not the times.
//
//   build/forward_bench --benchmark_filter=prefill
#include <cstdlib>
#include <memory>
#include <numeric>
#include <vector>

#include <benchmark/benchmark.h>

#include "impl/cpu/engine.h"
#include "reference/engine.h"

namespace {

using namespace plumbline;

std::filesystem::path model() {
  const char* given = std::getenv("PLUMBLINE_MODEL");
  return given != nullptr ? given : PLUMBLINE_SOURCE_DIR "/fixtures/models/tiny";
}

std::unique_ptr<Engine> make(bool native_engine) {
  if (native_engine)
    return native::make_cpu_engine(model(), {.threads = 1, .isa = "", .storage = DType::f32});
  return reference::make_engine(model(), {DType::f32, 1});
}

void feed(Engine& engine, Cache& cache, const std::vector<TokenId>& tokens) {
  std::vector<std::int64_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), cache.length(0));
  const SequenceStep step{0, tokens, positions, LogitsWanted::last};
  NullSink nothing;
  benchmark::DoNotOptimize(engine.forward(std::span(&step, 1), cache, nothing));
}

std::vector<TokenId> prompt(std::int64_t length) {
  std::vector<TokenId> tokens(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(i * 7 % 256);
  return tokens;
}

void prefill(benchmark::State& state, bool native_engine) {
  const std::unique_ptr<Engine> engine = make(native_engine);
  const std::vector<TokenId> tokens = prompt(state.range(0));
  const auto cache = engine->make_cache({CacheKind::concat, 1, state.range(0), DType::f32});
  for ([[maybe_unused]] auto _ : state) {
    cache->clear(0);
    feed(*engine, *cache, tokens);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// One token after a context of the given length; the cache is cropped back each time.
void decode(benchmark::State& state, bool native_engine) {
  const std::unique_ptr<Engine> engine = make(native_engine);
  const auto cache = engine->make_cache({CacheKind::concat, 1, state.range(0) + 1, DType::f32});
  feed(*engine, *cache, prompt(state.range(0)));
  for ([[maybe_unused]] auto _ : state) {
    feed(*engine, *cache, {7});
    cache->crop(0, state.range(0));
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(prefill, native, true)->Arg(64)->Arg(512)->UseRealTime();
BENCHMARK_CAPTURE(prefill, reference, false)->Arg(64)->Arg(512)->UseRealTime();
BENCHMARK_CAPTURE(decode, native, true)->Arg(64)->Arg(512)->UseRealTime();
BENCHMARK_CAPTURE(decode, reference, false)->Arg(64)->Arg(512)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
