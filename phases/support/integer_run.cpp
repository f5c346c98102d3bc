#include "phases/support/integer_run.h"

#include <numeric>
#include <set>

#include <fmt/format.h>

#include "phases/support/integer_step.h"

namespace plumbline::phases {
namespace {

// Inputs of linear layers, which become small whole numbers.
bool is_overwritten(Probe probe) {
  using enum Probe;
  return probe == input_layernorm || probe == post_attention_layernorm || probe == norm || probe == context ||
         probe == act;
}

// What neither is checked nor needed: recording scores would choose another path through attention.
bool is_left_alone(Probe probe) {
  using enum Probe;
  static const std::set<Probe> left{inv_freq, cos, sin, q_rope, scores, probs};
  return left.contains(probe);
}

// Overwrites what is_overwritten, and keeps a copy of all that the engine went on with.
class IntegerSink final : public ProbeSink {
 public:
  explicit IntegerSink(Engine& engine) : engine_(engine) {}
  Access access(const ProbeId& id) const override {
    if (is_overwritten(id.site.probe)) return Access::write;
    return is_left_alone(id.site.probe) ? Access::none : Access::read;
  }
  void receive(const ProbeId& id, const TensorView& view) override {
    seen_[id.sequence].insert_or_assign(id.site, engine_.to_host(view));
  }
  void modify(const ProbeId& id, const MutableTensorView& view) override {
    const std::string name = fmt::format("{} {} {}", site_name(id.site), id.sequence, call_);
    fill_with_small_integers(view, integer_key(name));
    receive(id, view);
  }
  void begin_call() {
    seen_.clear();
    ++call_;
  }
  const std::map<OpSite, Tensor>& of(SequenceId sequence) { return seen_[sequence]; }

 private:
  Engine& engine_;
  int call_ = 0;
  std::map<SequenceId, std::map<OpSite, Tensor>> seen_;
};

// A sequence of the run: its tokens so far, and what its cache must hold.
struct Sequence {
  std::int64_t length = 0;
  History history;
};

class Runner {
 public:
  Runner(Engine& engine, const IntegerModel& model, CacheKind kind, std::int64_t capacity)
      : engine_(engine),
        model_(model),
        cache_(engine.make_cache({kind, 2, capacity, DType::f32})),
        sink_(engine) {
    const auto layers = static_cast<std::size_t>(model.shape().layers);
    for (Sequence& sequence : sequences_) {
      sequence.history.keys.resize(layers);
      sequence.history.values.resize(layers);
    }
    kind_ = kind == CacheKind::concat ? "concat" : "fixed";
  }

  struct Part {
    SequenceId sequence;
    std::int64_t tokens;
    LogitsWanted logits;
  };
  void call(const std::vector<Part>& parts) {
    std::vector<std::vector<TokenId>> ids;
    std::vector<std::vector<std::int64_t>> positions;
    std::vector<SequenceStep> steps;
    for (const Part& part : parts) {
      ids.push_back(tokens_of(part));
      positions.emplace_back(static_cast<std::size_t>(part.tokens));
      std::iota(positions.back().begin(), positions.back().end(), of(part).length);
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      steps.push_back({parts[i].sequence, ids[i], positions[i], parts[i].logits});
    }
    sink_.begin_call();
    engine_.forward(steps, *cache_, sink_);
    for (std::size_t i = 0; i < parts.size(); ++i) check(parts[i], ids[i]);
  }

  IntegerRun finish() {
    for (SequenceId id = 0; id < 2; ++id) {
      const History& history = sequences_[static_cast<std::size_t>(id)].history;
      for (int layer = 0; layer < static_cast<int>(model_.shape().layers); ++layer) {
        const auto at = static_cast<std::size_t>(layer);
        const std::string where = fmt::format("layer {}, sequence {}, cache {}", layer, id, kind_);
        run_.cache_read_back.compare("keys of " + where, cache_->read_key(layer, id).view(),
                                     std::span<const double>(history.keys[at]));
        run_.cache_read_back.compare("values of " + where, cache_->read_value(layer, id).view(),
                                     std::span<const double>(history.values[at]));
      }
    }
    return std::move(run_);
  }

 private:
  Sequence& of(const Part& part) { return sequences_[static_cast<std::size_t>(part.sequence)]; }

  // The first and the last id of the vocabulary, and some between.
  std::vector<TokenId> tokens_of(const Part& part) {
    const std::int64_t vocab = model_.shape().vocab, begin = of(part).length + part.sequence;
    std::vector<TokenId> tokens;
    for (std::int64_t i = begin; i < begin + part.tokens; ++i) {
      tokens.push_back(
          static_cast<TokenId>(i % 2 == 0 ? (i / 2 * 31) % vocab : vocab - 1 - (i / 2 * 17) % vocab));
    }
    return tokens;
  }

  void check(const Part& part, std::span<const TokenId> tokens) {
    Sequence& sequence = of(part);
    const std::string where = fmt::format(", {} tokens after {}, sequence {}, cache {}", part.tokens,
                                          sequence.length, part.sequence, kind_);
    std::int64_t logit_rows = part.logits == LogitsWanted::none ? 0 : 1;
    if (part.logits == LogitsWanted::all) logit_rows = part.tokens;
    check_integer_step(model_, sink_.of(part.sequence), where, tokens, sequence.length, logit_rows,
                       sequence.history, run_);
    sequence.length += part.tokens;
  }

  Engine& engine_;
  const IntegerModel& model_;
  const std::unique_ptr<Cache> cache_;
  std::string kind_;
  IntegerSink sink_;
  Sequence sequences_[2];
  IntegerRun run_;
};

}  // namespace

IntegerRun run_on_integers(Engine& engine, const IntegerModel& model, CacheKind kind, std::int64_t tokens) {
  constexpr std::int64_t kChunk = 7;
  Runner runner(engine, model, kind, tokens + 1 + kChunk);
  runner.call({{0, tokens, LogitsWanted::all}, {1, 1, LogitsWanted::none}});
  runner.call({{0, 1, LogitsWanted::last}});
  runner.call({{1, kChunk, LogitsWanted::last}, {0, 1, LogitsWanted::all}});
  return runner.finish();
}

}  // namespace plumbline::phases
