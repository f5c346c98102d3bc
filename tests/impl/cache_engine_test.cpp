// What the engine computes over each form of cache: the same bits.
#include <limits>
#include <random>

#include <catch2/catch.hpp>

#include "impl/cpu/engine.h"
#include "tests/impl/cache_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

void poison(Cache& cache) {
  dynamic_cast<NativeCache&>(cache).fill_free_slots(std::numeric_limits<float>::quiet_NaN());
}

// The logits of all tokens, in random chunks that begin with a prefill of `first`; what is cropped is run
// again.
std::vector<float> in_pieces(Engine& engine, Cache& cache, std::span<const TokenId> ids, std::size_t first,
                             unsigned seed) {
  std::mt19937 random(seed);
  const auto vocab = static_cast<std::size_t>(engine.config().vocab_size);
  std::vector<float> all;
  std::size_t chunk = first;
  for (int steps = 0; all.size() / vocab < ids.size(); ++steps) {
    poison(cache);
    const std::size_t held = all.size() / vocab;
    const std::vector<float> logits =
        run(engine, cache, ids.subspan(held, std::min(chunk, ids.size() - held)));
    all.insert(all.end(), logits.begin(), logits.end());
    if (steps % 4 == 3) {
      const std::size_t kept = random() % (all.size() / vocab);
      cache.fork(0, 1);
      cache.clear(0);
      cache.fork(1, 0);
      cache.crop(0, static_cast<std::int64_t>(kept));
      all.resize(kept * vocab);
    }
    chunk = random() % 2 == 0 ? 1 : 1 + random() % 9;
    if (steps > 12) chunk = ids.size();
  }
  return all;
}

std::int64_t ring_slots(const CacheSpec& spec) {
  return spec.capacity - spec.prefill_capacity;
}

}  // namespace

TEST_CASE("cache: every form gives the engine's bits, in any pieces, with NaN in every free slot") {
  const auto engine = make_cpu_engine(tiny_model(), {.threads = 2});
  const auto ids = some_tokens(60, 1024, 1);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const auto plain = engine->make_cache({CacheKind::concat, 1, 0, dtype});
    const std::vector<float> whole = run(*engine, *plain, ids);
    for (const CacheSpec& spec : all_forms(2, 140, 70, dtype)) {
      INFO(form_name(spec));
      const auto once = engine->make_cache(spec);
      poison(*once);
      CHECK(same_bits(run(*engine, *once, ids), whole));
      const auto cache = engine->make_cache(spec);
      CHECK(same_bits(in_pieces(*engine, *cache, ids, 37, 3), whole));
      CHECK(cache->length(0) == 60);
      for (const int layer : {0, 4}) {
        CHECK(same_bytes(cache->read_key(layer, 0), plain->read_key(layer, 0)));
        CHECK(same_bytes(cache->read_value(layer, 0), plain->read_value(layer, 0)));
      }
    }
  }
}

TEST_CASE("cache: a ring has the bits of a growing cache that forgets the same tokens before each step") {
  const auto engine = make_cpu_engine(tiny_model(), {.threads = 2});
  const auto vocab = engine->config().vocab_size;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const CacheSpec& spec : all_rings(2, 50, 20, dtype)) {
      INFO(form_name(spec));
      const auto ring = engine->make_cache(spec);
      const auto grown = engine->make_cache({CacheKind::concat, 2, 0, dtype});
      auto& list = dynamic_cast<NativeCache&>(*grown);
      const std::int64_t prefill = spec.prefill_capacity;
      NullSink sink;
      std::int64_t position = 0;
      std::mt19937 random(5);
      const auto step = [&](std::int64_t count) {
        const auto ids = some_tokens(static_cast<std::size_t>(count), vocab, static_cast<unsigned>(position));
        std::vector<std::int64_t> positions;
        for (std::int64_t i = 0; i < count; ++i) positions.push_back(position + i);
        const SequenceStep each{0, ids, positions, LogitsWanted::all};
        poison(*ring);
        const std::int64_t lost =
            std::max(list.length(0) + count - prefill - ring_slots(spec), std::int64_t{0});
        const bool is_prefill = prefill > 0 && position == 0;
        if (!is_prefill && lost > 0) list.evict(0, prefill, prefill + lost);
        const Tensor expected = copy_host(engine->forward({&each, 1}, *grown, sink).steps[0]);
        const Tensor actual = copy_host(engine->forward({&each, 1}, *ring, sink).steps[0]);
        position += count;
        CHECK(same_bytes(actual, expected));
        CHECK(ring->length(0) == list.length(0));
      };
      step(20);
      for (int i = 0; i < 12; ++i) step(1 + static_cast<std::int64_t>(random() % 11));
      CHECK(ring->length(0) == 50);
      // Forked, cropped and extended again.
      for (Cache* cache : {ring.get(), grown.get()}) {
        cache->fork(0, 1);
        cache->crop(0, 41);
        cache->fork(0, 1);
        cache->clear(0);
        cache->fork(1, 0);
      }
      for (int i = 0; i < 12; ++i) step(1 + static_cast<std::int64_t>(random() % 3));
    }
  }
}

TEST_CASE("cache: a sliding window over every form but a ring, which is refused") {
  const ScratchDirectory directory;
  write_random_model(directory, R"({"model_type": "qwen2", "vocab_size": 97, "hidden_size": 48,
    "intermediate_size": 70, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "use_sliding_window": true, "sliding_window": 7, "max_window_layers": 1, "rope_theta": 10000.0})",
                     5);
  const auto engine = make_cpu_engine(directory.path(), {.threads = 1});
  const auto ids = some_tokens(50, 97, 1);
  const std::vector<float> whole = run(*engine, *engine->make_cache({CacheKind::concat}), ids);
  for (const CacheSpec& spec : all_forms(2, 140, 70)) {
    INFO(form_name(spec));
    CHECK(same_bits(in_pieces(*engine, *engine->make_cache(spec), ids, 9, 4), whole));
  }
  for (const CacheSpec& spec : all_rings(2, 140, 70)) {
    CHECK_THAT(error_of([&] { engine->make_cache(spec); }), Catch::Contains("sliding windows"));
  }
}
