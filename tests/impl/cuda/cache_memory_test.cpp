// A cache in the device's memory does what one in the host's does, bit for bit.
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include <catch2/catch.hpp>

#include "impl/cpu/engine.h"
#include "impl/cuda/cache_memory.h"
#include "impl/cuda/memory.h"
#include "tests/impl/cache_support.h"
#include "tests/impl/cuda/cache_pair.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;
using cuda::testing::Both;
using cuda::testing::kParts;

namespace {

constexpr std::int64_t kCapacity = 13, kPrefill = 6;
constexpr int kSequences = 3;

std::vector<CacheSpec> forms_and_rings(std::int64_t sequences, std::int64_t capacity, std::int64_t prefill) {
  std::vector<CacheSpec> specs;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const auto& more :
         {all_forms(sequences, capacity, prefill, dtype), all_rings(sequences, capacity, prefill, dtype)}) {
      specs.insert(specs.end(), more.begin(), more.end());
    }
  }
  return specs;
}

struct Counts {
  int refused = 0, steps = 0, rolled_back = 0;
};

// The first of many random operations after which they differ; -1: none.
int differ_after(const CacheSpec& spec, const CacheShape& shape, unsigned seed, Counts& counts) {
  Both both(spec, shape);
  std::mt19937 random(seed);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  for (int i = 0; i < 100; ++i) {
    const auto sequence = static_cast<SequenceId>(below(kSequences));
    const std::int64_t held = both.host().length(sequence);
    const std::int64_t what = below(10);
    bool same = both.agree(
        [](NativeCache& cache) { cache.fill_free_slots(std::numeric_limits<float>::quiet_NaN()); });
    if (what < 3) {
      std::vector<int> tokens(static_cast<std::size_t>(what == 0 ? 1 : 1 + below(5)));
      std::iota(tokens.begin(), tokens.end(), i);
      bool done = false;
      same = same && both.agree([&](NativeCache& cache) { update_marked(cache, sequence, tokens); }, &done);
      counts.refused += done ? 0 : 1;
    } else if (what < 6) {
      const std::vector<CacheGrowth> growth{{0, 1 + below(3)}, {2, 1}};
      bool fits = false;
      same = same && both.agree(
                         [&](NativeCache& cache) {
                           for (const CacheGrowth& each : growth) cache.past_of(each.sequence, each.tokens);
                         },
                         &fits);
      const bool changes = below(3) == 0, commits = below(3) > 0;
      if (fits) {
        same = same && both.step(growth, 100 * i, changes, commits);
        ++counts.steps;
        counts.rolled_back += commits ? 0 : 1;
      }
    } else if (what == 6) {
      const std::int64_t length = below(held + 1);
      same = same && both.agree([&](NativeCache& cache) { cache.crop(sequence, length); });
    } else if (what == 7) {
      const std::int64_t begin = below(held + 1), end = begin + below(held - begin + 1);
      same = same && both.agree([&](NativeCache& cache) { cache.evict(sequence, begin, end); });
    } else if (what == 8) {
      const auto to = static_cast<SequenceId>(below(kSequences));
      same = same && both.agree([&](NativeCache& cache) { cache.fork(sequence, to); });
    } else if (below(4) == 0) {
      same = same && both.agree([&](NativeCache& cache) { cache.clear(sequence); });
    }
    if (!same || !both.same()) return i;
  }
  return -1;
}

// Whether rows of sequence 1 that no token has written yet hold `value`.
bool free_rows_are(NativeCache& cache, double value) {
  const CacheGrowth growth{1, 5};
  const CacheTransaction transaction(cache, {&growth, 1});
  cache.pending_room(1, 1);
  bool all = true;
  for (const CachePart part : kParts) {
    const Tensor rows = cache.read_pending(1, 1, part);
    for (std::int64_t i = 0; i < rows.elements(); ++i) all = all && element_as_f64(rows.view(), i) == value;
  }
  return all;
}

// Gives up in the last layer, after it changed the past of the third.
class LateThrow final : public ProbeSink {
 public:
  bool throws = false;
  Access access(const ProbeId& id) const override {
    if (site_name(id.site) == "past_key_values.2.key") return Access::write;
    return site_name(id.site) == "lm_head" ? Access::read : Access::none;
  }
  void receive(const ProbeId&, const TensorView&) override {
    if (throws) throw Error("the sink gives up", "test");
  }
  void modify(const ProbeId&, const MutableTensorView& view) override {
    std::memset(view.mutable_data, 0x3c, static_cast<std::size_t>(view.elements()) * dtype_size(view.dtype));
  }
};

}  // namespace

TEST_CASE("cuda cache: every form does in the device's memory what it does in the host's") {
  Counts counts;
  int forms = 0;
  for (const CacheShape& shape : {CacheShape{2, 3, 4}, CacheShape{2, 1, 8}, CacheShape{1, 5, 2}}) {
    for (const CacheSpec& spec : forms_and_rings(kSequences, kCapacity, kPrefill)) {
      INFO(form_name(spec) << ", " << shape.kv_heads << " heads");
      CHECK(differ_after(spec, shape, static_cast<unsigned>(++forms), counts) == -1);
    }
  }
  CHECK(forms == 3 * 2 * (27 + 18));
  CHECK(counts.refused > 500);
  CHECK(counts.steps - counts.rolled_back > 2000);
  CHECK(counts.rolled_back > 1000);
}

TEST_CASE("cuda cache: views are copies on the host; a new fixed cache holds zeros") {
  const std::vector<int> tokens{3, 1, 4, 1, 5};
  for (const CacheSpec& spec : forms_and_rings(kSequences, kCapacity, kPrefill)) {
    INFO(form_name(spec));
    Both both(spec, {2, 3, 4});
    NativeCache& cache = both.device();
    if (spec.kind == CacheKind::fixed) {
      CHECK(free_rows_are(cache, 0.0));
      cache.fill_free_slots(7.0f);
      CHECK(free_rows_are(cache, 7.0));
    }
    update_marked(cache, 1, tokens);
    CHECK(holds(cache, 1, tokens));
    const CacheSlice view = cache.view(1, 1);  // not where the device has them
    REQUIRE(view.runs.size() == 1);
    CHECK(view.runs[0].token_stride == 12);
    CHECK(view.runs[0].head_stride == 4);
  }
}

TEST_CASE("cuda cache: the CPU engine gives the same bits over one, and a step that throws changes nothing") {
  const auto engine = make_cpu_engine(tiny_model(), {.threads = 1});
  const auto ids = some_tokens(33, engine->config().vocab_size, 9);
  const cuda::StreamOwner stream;
  for (const CacheSpec& spec : forms_and_rings(2, 30, 20)) {
    INFO(form_name(spec));
    const auto host = engine->make_cache(spec);
    const auto& own = dynamic_cast<NativeCache&>(*host);
    const auto device =
        make_native_cache(spec, own.shape(), own.engine(), cuda::make_cache_memory(stream.get()));
    LateThrow sink;
    for (std::size_t at = 0; at < 30; at = at == 0 ? 20 : at + 1) {
      const auto some = std::span(ids).subspan(at, at == 0 ? 20 : 1);
      CHECK(same_bits(run(*engine, *host, some), run(*engine, *device, some)));
    }
    sink.throws = true;
    const auto last = std::span(ids).subspan(30, 1);
    for (Cache* cache : {host.get(), static_cast<Cache*>(device.get())}) {
      if (spec.kind == CacheKind::fixed && spec.when_full == WhenFull::error) cache->crop(0, 28);
      CHECK_THAT(error_of([&] { run(*engine, *cache, last, LogitsWanted::last, 0, sink); }),
                 Catch::Contains("gives up"));
    }
    for (int layer = 0; layer < own.shape().layers; ++layer) {
      CHECK(same_bytes(host->read_key(layer, 0), device->read_key(layer, 0)));
      CHECK(same_bytes(host->read_value(layer, 0), device->read_value(layer, 0)));
    }
    sink.throws = false;
    CHECK(same_bits(run(*engine, *host, last, LogitsWanted::last, 0, sink),
                    run(*engine, *device, last, LogitsWanted::last, 0, sink)));
    CHECK(same_bytes(host->read_key(2, 0), device->read_key(2, 0)));
  }
}
