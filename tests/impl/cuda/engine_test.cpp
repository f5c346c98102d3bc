// The CUDA engine over the emulated device: what a device may do in any order changes nothing, a decode step
// costs what it should, and whatever is missing is said in one line.
#include <catch2/catch.hpp>

#include "impl/cuda/engine.h"
#include "impl/positions.h"
#include "tests/cuda_emulation/emulation.h"
#include "tests/cuda_emulation/with_settings.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;
namespace emulation = plumbline::cuda_emulation;

namespace {

constexpr const char* kOdd = R"({"model_type": "qwen2", "vocab_size": 97, "hidden_size": 51,
  "intermediate_size": 70, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2,
  "head_dim": 10, "use_sliding_window": true, "sliding_window": 7, "max_window_layers": 1,
  "rope_theta": 10000.0})";

// Logits of a prefill, and of a few decode steps after it.
std::vector<float> talk(Engine& engine, DType storage) {
  const auto vocab = engine.config().vocab_size;
  const auto cache = engine.make_cache({.dtype = storage});
  std::vector<float> all = run(engine, *cache, some_tokens(21, vocab, 1));
  for (unsigned step = 0; step < 4; ++step) {
    const auto logits = run(engine, *cache, some_tokens(1, vocab, 2 + step), LogitsWanted::last);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

// Looks at everything, so that no ops are joined.
class EverySite final : public ProbeSink {
 public:
  Access access(const ProbeId&) const override { return Access::read; }
  void receive(const ProbeId&, const TensorView&) override { ++seen; }
  int seen = 0;
};

// A prefill, a chunk and a token; then the keys and values of the last layer.
std::vector<float> silently_or_not(Engine& engine, const CacheSpec& spec, ProbeSink& sink) {
  const auto vocab = engine.config().vocab_size;
  const int last = static_cast<int>(engine.config().num_hidden_layers) - 1;
  const auto cache = engine.make_cache(spec);
  std::vector<float> all;
  for (const std::size_t tokens : {9, 5, 1}) {
    const auto logits = run(engine, *cache, some_tokens(tokens, vocab, 4), LogitsWanted::all, 0, sink);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  for (const Tensor& rows : {cache->read_key(last, 0), cache->read_value(last, 0)}) {
    const Tensor wide = to_f64(rows.view());
    for (const double value : wide.values<double>()) all.push_back(static_cast<float>(value));
  }
  return all;
}

std::string refusal(const std::filesystem::path& model = tiny_model(), const CudaOptions& options = {}) {
  return error_of([&] { make_cuda_engine(model, options); });
}

}  // namespace

TEST_CASE("cuda engine: the same bits in any order of blocks and threads, lazily and at once") {
  const ScratchDirectory odd;
  write_random_model(odd, kOdd, 3);
  for (const auto& model : {tiny_model(), odd.path()}) {
    for (const DType storage : {DType::f32, DType::bf16}) {
      const emulation::WithSettings restored;
      emulation::settings().order = emulation::Order::ascending;
      const auto first = talk(*make_cuda_engine(model, {.storage = storage}), storage);
      for (const bool lazy : {true, false}) {
        for (const auto order : {emulation::Order::descending, emulation::Order::shuffled}) {
          INFO(model.filename() << ", " << dtype_name(storage) << (lazy ? ", lazy" : ", eager"));
          emulation::settings().lazy = lazy;
          emulation::settings().order = order;
          CHECK(same_bits(talk(*make_cuda_engine(model, {.storage = storage}), storage), first));
        }
      }
    }
  }
}

TEST_CASE("cuda engine: ops that are joined have the bits of those that are shown") {
  const ScratchDirectory odd;
  write_random_model(odd, kOdd, 3);
  for (const auto& model : {tiny_model(), odd.path()}) {
    for (const DType storage : {DType::f32, DType::bf16}) {
      const auto engine = make_cuda_engine(model, {.storage = storage});
      for (const DType stored : {DType::f32, DType::bf16}) {
        for (const CacheLayout layout : {CacheLayout::sequence_heads, CacheLayout::heads_sequence}) {
          const CacheSpec spec{.kind = CacheKind::fixed,
                               .capacity = 16,
                               .dtype = stored,
                               .layout = layout,
                               .packing = CachePacking::interleaved};
          NullSink nothing;
          EverySite everything;
          INFO(dtype_name(storage) << " in a cache of " << dtype_name(stored));
          CHECK(
              same_bits(silently_or_not(*engine, spec, nothing), silently_or_not(*engine, spec, everything)));
          CHECK(everything.seen > 0);
        }
      }
    }
  }
}

TEST_CASE("cuda engine: a graph changes no bit") {
  const auto with = make_cuda_engine(tiny_model());
  const auto without = make_cuda_engine(tiny_model(), {.graphs = false});
  CHECK(same_bits(talk(*with, DType::f32), talk(*without, DType::f32)));
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
  const auto without = make_cuda_engine(tiny_model(), {.graphs = false});
  emulation::counters() = {};
  const auto launched = decode_over_changes(*with);
  CHECK(emulation::counters().graph_launches >= 8);
  CHECK(same_bits(launched, decode_over_changes(*without)));
}

TEST_CASE("cuda engine: a sink sees each sequence's own rows") {
  class Rows final : public ProbeSink {
   public:
    explicit Rows(Engine& engine) : engine_(engine) {}
    Access access(const ProbeId& id) const override {
      return id.site == OpSite{Probe::k_rope, 1} ? Access::read : Access::none;
    }
    void receive(const ProbeId& id, const TensorView& view) override {
      seen[static_cast<std::size_t>(id.sequence)] = engine_.to_host(view);
    }
    Tensor seen[2];

   private:
    Engine& engine_;
  };
  const auto engine = make_cuda_engine(tiny_model());
  const auto first = some_tokens(5, 1024, 1), second = some_tokens(7, 1024, 2);
  const auto of_first = position_ids(0, 5), of_second = position_ids(0, 7);
  const std::vector<SequenceStep> steps{{0, first, of_first, LogitsWanted::none},
                                        {1, second, of_second, LogitsWanted::none}};
  Rows together(*engine), alone(*engine);
  engine->forward(steps, *engine->make_cache({.max_sequences = 2}), together);
  for (const SequenceStep& step : steps) {
    engine->forward({&step, 1}, *engine->make_cache({.max_sequences = 2}), alone);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(same_bits(together.seen[i].values<float>(), alone.seen[i].values<float>()));
  }
  CHECK(together.seen[1].shape()[0] == 7);
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
  const auto engine = make_cuda_engine(tiny_model());
  const auto cache = engine->make_cache({CacheKind::fixed, 1, 64, DType::f32});
  run(*engine, *cache, some_tokens(20, 1024, 1), LogitsWanted::last);
  run(*engine, *cache, some_tokens(1, 1024, 2), LogitsWanted::last);
  run(*engine, *cache, some_tokens(1, 1024, 2), LogitsWanted::last);  // captured here
  NullSink nothing;
  for (std::int64_t step = 0; step < 5; ++step) {
    emulation::counters() = {};
    const auto token = some_tokens(1, 1024, 3);
    const std::vector<std::int64_t> positions{22 + step};
    const SequenceStep next{0, token, positions, LogitsWanted::last};
    const Logits logits = engine->forward({&next, 1}, *cache, nothing);
    const emulation::Counters& counted = emulation::counters();
    CHECK(counted.device_allocations == 0);
    CHECK(counted.pinned_allocations == 0);
    CHECK(counted.synchronisations == 0);
    CHECK(counted.launches == 0);
    CHECK(counted.graph_launches == 1);
    engine->synchronize();
    CHECK(counted.synchronisations == 1);
    CHECK(counted.copies_to_device == 1);  // the tables
    CHECK(counted.copies_to_host == 0);
    CHECK(engine->to_host(logits.steps.at(0)).elements() == 1024);
  }
}

TEST_CASE("cuda engine: nothing of it stays on the device") {
  {
    const auto engine = make_cuda_engine(tiny_model(), {.storage = DType::bf16});
    talk(*engine, DType::bf16);
    CHECK(emulation::held().device_bytes > 0);
  }
  CHECK(emulation::held().device_bytes == 0);
  CHECK(emulation::held().pinned_bytes == 0);
  CHECK(emulation::held().streams == 0);
  CHECK(emulation::held().events == 0);
  CHECK(emulation::held().graphs == 0);
}

TEST_CASE("cuda engine: what is missing is said before anything is allocated") {
  const emulation::WithSettings restored;
  SECTION("a device") {
    emulation::settings().device_count = 0;
    CHECK_THAT(refusal(), Catch::Contains("no CUDA device is there"));
  }
  SECTION("a driver") {
    emulation::settings().driver_version = 0;
    CHECK_THAT(refusal(), Catch::Contains("no NVIDIA driver"));
  }
  SECTION("a newer driver") {
    emulation::settings().driver_version = 11080;
    CHECK_THAT(refusal(), Catch::Contains("CUDA 11.8") && Catch::Contains("needs"));
  }
  SECTION("kernels for its architecture") {
    emulation::settings().compute_major = 7;
    emulation::settings().compute_minor = 5;
    CHECK_THAT(refusal(), Catch::Contains("7.5") && Catch::Contains("CMAKE_CUDA_ARCHITECTURES=75"));
  }
  SECTION("memory") {
    emulation::settings().device_memory = 1 << 20;
    CHECK_THAT(refusal(), Catch::Contains("GiB of device memory in f32") && Catch::Contains("are free"));
    CHECK(emulation::held().device_bytes == 0);
  }
  SECTION("a storage dtype") {
    CHECK_THAT(refusal(tiny_model(), {.storage = DType::f16}), Catch::Contains("f16"));
  }
  SECTION("a head_dim") {
    const ScratchDirectory wide;
    write_random_model(wide,
                       R"({"model_type": "qwen2", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 4,
      "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 130})",
                       1);
    CHECK_THAT(refusal(wide.path()), Catch::Contains("head_dim is 130"));
  }
  CHECK(emulation::held().device_bytes == 0);
}

TEST_CASE("cuda engine: a launch that fails names the kernel, and nothing stays behind") {
  const emulation::WithSettings restored;
  {
    const auto engine = make_cuda_engine(tiny_model(), {.graphs = false});
    emulation::settings().fail_kernel = "rms_norm";
    const auto cache = engine->make_cache({});
    const std::string error = error_of([&] { run(*engine, *cache, some_tokens(3, 1024, 1)); });
    CHECK_THAT(error, Catch::Contains("kernel") && Catch::Contains("rms_norm"));
  }
  emulation::reset();
}
