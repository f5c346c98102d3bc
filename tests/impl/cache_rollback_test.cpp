// A step that fails, what a sink sees of a cache, and what it may change there.
#include <algorithm>
#include <cstring>
#include <map>

#include <catch2/catch.hpp>

#include "impl/cpu/engine.h"
#include "tests/impl/cache_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

// Sets the past keys or values of a layer to a constant, then may give up.
class PastSink final : public ProbeSink {
 public:
  std::string writes, throws_at;
  std::map<std::string, Tensor> seen;
  Access access(const ProbeId& id) const override {
    const std::string name = site_name(id.site);
    if (name == writes) return Access::write;
    const bool wanted =
        name == throws_at || name == "attention_mask" || name.starts_with("past_key_values.3.");
    return wanted ? Access::read : Access::none;
  }
  void receive(const ProbeId& id, const TensorView& view) override {
    if (site_name(id.site) == throws_at) throw Error("the sink gives up", "test");
    seen[site_name(id.site)] = copy_host(view);
  }
  void modify(const ProbeId&, const MutableTensorView& view) override {
    std::memset(view.mutable_data, 0x3c, static_cast<std::size_t>(view.elements()) * dtype_size(view.dtype));
  }
};

struct Contents {
  std::vector<Tensor> parts;
};

Contents contents(const Cache& cache) {
  Contents all;
  for (int layer = 0; layer < 5; ++layer) {
    for (const SequenceId sequence : {0, 1}) {
      all.parts.push_back(cache.read_key(layer, sequence));
      all.parts.push_back(cache.read_value(layer, sequence));
    }
  }
  return all;
}

bool same(const Contents& a, const Contents& b) {
  return std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(), same_bytes);
}

std::vector<CacheSpec> forms_and_rings(DType dtype) {
  std::vector<CacheSpec> specs = all_forms(2, 60, 20, dtype);
  const auto rings = all_rings(2, 30, 20, dtype);
  specs.insert(specs.end(), rings.begin(), rings.end());
  return specs;
}

// Past the end of a ring of 10 or 30 slots.
void fill(Engine& engine, Cache& cache) {
  const auto ids = some_tokens(33, 1024, 9);
  run(engine, cache, std::span(ids).first(20), LogitsWanted::none);
  for (std::size_t at = 20; at < ids.size(); ++at) {
    run(engine, cache, std::span(ids).subspan(at, 1), LogitsWanted::none);
  }
  run(engine, cache, std::span(ids).first(7), LogitsWanted::none, 1);
}

}  // namespace

TEST_CASE("cache: a step that throws at any layer leaves every form as it was") {
  const auto engine = make_cpu_engine(tiny_model(), {.threads = 1});
  const auto ids = some_tokens(6, 1024, 2);
  for (const DType dtype : {DType::f32, DType::f16}) {
    for (const CacheSpec& spec : forms_and_rings(dtype)) {
      const auto cache = engine->make_cache(spec), untouched = engine->make_cache(spec);
      fill(*engine, *cache);
      fill(*engine, *untouched);
      const Contents before = contents(*cache);
      for (const char* throws_at : {"past_key_values.0.key", "past_key_values.4.value", "lm_head"}) {
        for (const char* writes : {"", "past_key_values.0.value", "past_key_values.2.key"}) {
          INFO(form_name(spec) << ": " << throws_at << ", writes " << writes);
          PastSink sink;
          sink.throws_at = throws_at;
          sink.writes = writes;
          CHECK_THAT(error_of([&] { run(*engine, *cache, ids, LogitsWanted::last, 0, sink); }),
                     Catch::Contains("gives up"));
          CHECK(same(contents(*cache), before));
        }
      }
      CHECK(cache->length(0) == (spec.when_full == WhenFull::ring ? 30 : 33));
      CHECK(same_bits(run(*engine, *cache, ids), run(*engine, *untouched, ids)));
      CHECK(same(contents(*cache), contents(*untouched)));
    }
  }
}

TEST_CASE("cache: sinks see the whole past in the cache's dtype, in order; what they write stays") {
  const auto engine = make_cpu_engine(tiny_model(), {.threads = 1});
  const auto ids = some_tokens(3, 1024, 2);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const CacheSpec& spec : forms_and_rings(dtype)) {
      INFO(form_name(spec));
      const auto cache = engine->make_cache(spec);
      fill(*engine, *cache);
      PastSink sink;
      sink.writes = "past_key_values.2.value";
      cache->fork(0, 1);
      const auto plain = run(*engine, *cache, ids, LogitsWanted::last, 1);
      const auto changed = run(*engine, *cache, ids, LogitsWanted::last, 0, sink);
      CHECK_FALSE(same_bits(changed, plain));  // in this very step
      CHECK(same_bytes(sink.seen.at("past_key_values.3.key"), cache->read_key(3, 0)));
      CHECK(same_bytes(sink.seen.at("past_key_values.3.value"), cache->read_value(3, 0)));
      CHECK(cache->read_key(3, 0).dtype() == dtype);
      CHECK(sink.seen.at("attention_mask").shape() == Shape{3, cache->length(0)});
      const Tensor written = cache->read_value(2, 0);
      CHECK(std::all_of(written.bytes().begin(), written.bytes().end(),
                        [](std::byte byte) { return byte == std::byte{0x3c}; }));
      const Tensor other = cache->read_key(2, 0);
      CHECK_FALSE(std::all_of(other.bytes().begin(), other.bytes().end(),
                              [](std::byte byte) { return byte == std::byte{0x3c}; }));
    }
  }
}

TEST_CASE("cache: a full one, or another engine's, is refused by forward() and stays as it was") {
  const auto engine = make_cpu_engine(tiny_model(), {.threads = 1});
  const auto other = make_cpu_engine(tiny_model(), {.threads = 1});
  const auto ids = some_tokens(41, 1024, 2);
  for (const CacheSpec& spec : all_forms(2, 60, 20)) {
    if (spec.kind != CacheKind::fixed) continue;
    INFO(form_name(spec));
    const auto cache = engine->make_cache(spec);
    fill(*engine, *cache);
    const Contents before = contents(*cache);
    CHECK_THAT(error_of([&] { run(*engine, *cache, ids); }),
               Catch::Contains("sequence 0 holds 33 of 60 tokens") && Catch::Contains("room for 41 more"));
    CHECK_THAT(error_of([&] { run(*other, *cache, ids); }), Catch::Contains("another engine"));
    CHECK(same(contents(*cache), before));
  }
}
