// The CUDA engine over the emulated device: what a device may do in any order changes nothing, nor does it
// who looks.
#include <catch2/catch.hpp>

#include "impl/cuda/engine.h"
#include "impl/positions.h"
#include "tests/cuda_emulation/emulation.h"
#include "tests/cuda_emulation/with_settings.h"
#include "tests/impl/cuda/engine_talk.h"
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
