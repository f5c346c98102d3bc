// A decode step of the CUDA engine over the emulated device: its bits and its cost, however it is launched.
#include <catch2/catch.hpp>

#include "impl/cuda/engine.h"
#include "impl/positions.h"
#include "tests/cuda_emulation/emulation.h"
#include "tests/impl/cuda/engine_talk.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;
namespace emulation = plumbline::cuda_emulation;

TEST_CASE("cuda engine: a decode step has the same bits however it is launched") {
  const auto model = GENERATE(tiny_model(), aligned_model());
  const auto storage = GENERATE(DType::f32, DType::bf16);
  const auto talked = [&](CudaDecode decode) {
    return talk(*make_cuda_engine(model, {.storage = storage, .decode = decode}), storage);
  };
  const auto launches = talked(CudaDecode::launches);
  CHECK(same_bits(talked(CudaDecode::graph), launches));
  CHECK(same_bits(talked(CudaDecode::automatic), launches));
}

namespace {

// One token for each of `sequences`, some times; the logits of all.
void decode_together(Engine& engine, Cache& cache, SequenceId sequences, int times, std::vector<float>& all) {
  const auto vocab = engine.config().vocab_size;
  NullSink nothing;
  for (int time = 0; time < times; ++time) {
    std::vector<std::vector<TokenId>> tokens;
    std::vector<std::vector<std::int64_t>> positions;
    std::vector<SequenceStep> steps;
    for (SequenceId id = 0; id < sequences; ++id) {
      tokens.push_back(some_tokens(1, vocab, static_cast<unsigned>(7 * time + id)));
      positions.push_back({cache.length(id)});
    }
    for (SequenceId id = 0; id < sequences; ++id) {
      const auto at = static_cast<std::size_t>(id);
      steps.push_back({id, tokens[at], positions[at], LogitsWanted::last});
    }
    for (const TensorView& view : engine.forward(steps, cache, nothing).steps) {
      const Tensor row = engine.to_host(view);
      all.insert(all.end(), row.values<float>().begin(), row.values<float>().end());
    }
  }
}

// Decodes, with what lies between two steps of the same number of sequences: longer contexts, shorter ones,
// larger steps, another cache.
std::vector<float> decode_over_changes(Engine& engine) {
  const auto vocab = engine.config().vocab_size;
  std::vector<float> all;
  const auto cache = engine.make_cache({CacheKind::fixed, 2, 340, DType::f32});
  for (const SequenceId id : {0, 1}) run(engine, *cache, some_tokens(9, vocab, 3), LogitsWanted::none, id);
  decode_together(engine, *cache, 2, 3, all);
  run(engine, *cache, some_tokens(60, vocab, 4), LogitsWanted::none, 0);  // larger buffers: they move
  decode_together(engine, *cache, 2, 3, all);
  for (const SequenceId id : {0, 1}) run(engine, *cache, some_tokens(230, vocab, 5), LogitsWanted::none, id);
  decode_together(engine, *cache, 2, 3, all);
  for (const SequenceId id : {0, 1})
    cache->crop(id, 70);  // each block of keys is summed by itself, as before
  decode_together(engine, *cache, 2, 3, all);
  const auto half = engine.make_cache({CacheKind::concat, 2, 0, DType::bf16});
  decode_together(engine, *half, 2, 3, all);
  return all;
}

}  // namespace

TEST_CASE("cuda engine: a graph serves no other sizes, buffers or caches than its own") {
  const auto with = make_cuda_engine(tiny_model());
  const auto without = make_cuda_engine(tiny_model(), {.decode = CudaDecode::launches});
  emulation::counters() = {};
  const auto launched = decode_over_changes(*with);
  CHECK(emulation::counters().graph_launches >= 8);
  CHECK(same_bits(launched, decode_over_changes(*without)));
}

TEST_CASE("cuda engine: calls may follow each other before anything has run") {
  const auto engine = make_cuda_engine(tiny_model());
  const auto ids = some_tokens(24, 1024, 6);
  const CacheSpec spec{CacheKind::fixed, 1, 64, DType::f32};
  const auto whole_cache = engine->make_cache(spec), cache = engine->make_cache(spec);
  const auto whole = run(*engine, *whole_cache, ids, LogitsWanted::last);
  NullSink nothing;
  for (std::int64_t at = 0; at < 24; at += 4) {  // more calls than there are tables to fill in turns
    const std::vector<std::int64_t> positions = position_ids(at, 4);
    const SequenceStep step{0, std::span(ids).subspan(static_cast<std::size_t>(at), 4), positions,
                            at < 20 ? LogitsWanted::none : LogitsWanted::last};
    const Logits logits = engine->forward({&step, 1}, *cache, nothing);
    if (at < 20) continue;
    const Tensor last = engine->to_host(logits.steps.at(0));
    CHECK(same_bits(last.values<float>(), whole));
  }
}

TEST_CASE("cuda engine: a decode step allocates nothing, waits for nothing and is one launch") {
  const auto decode = GENERATE(CudaDecode::automatic, CudaDecode::graph);
  const auto engine = make_cuda_engine(aligned_model(), {.decode = decode});
  const auto vocab = engine->config().vocab_size;
  const auto cache = engine->make_cache({CacheKind::fixed, 1, 64, DType::f32});
  run(*engine, *cache, some_tokens(20, vocab, 1), LogitsWanted::last);
  run(*engine, *cache, some_tokens(1, vocab, 2), LogitsWanted::last);
  run(*engine, *cache, some_tokens(1, vocab, 2), LogitsWanted::last);  // captured here
  NullSink nothing;
  for (std::int64_t step = 0; step < 5; ++step) {
    emulation::counters() = {};
    const auto token = some_tokens(1, vocab, 3);
    const std::vector<std::int64_t> positions{22 + step};
    const SequenceStep next{0, token, positions, LogitsWanted::last};
    const Logits logits = engine->forward({&next, 1}, *cache, nothing);
    const emulation::Counters& counted = emulation::counters();
    CHECK(counted.device_allocations == 0);
    CHECK(counted.pinned_allocations == 0);
    CHECK(counted.synchronisations == 0);
    CHECK(counted.launches == (decode == CudaDecode::automatic ? 1 : 0));
    CHECK(counted.graph_launches == (decode == CudaDecode::automatic ? 0 : 1));
    engine->synchronize();
    CHECK(counted.synchronisations == 1);
    CHECK(counted.copies_to_device == 1);  // the tables
    CHECK(counted.copies_to_host == 0);
    CHECK(engine->to_host(logits.steps.at(0)).elements() == vocab);
  }
}
