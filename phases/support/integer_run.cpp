#include "phases/support/integer_run.h"

#include <numeric>
#include <set>

#include <fmt/format.h>

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
  Access access(const ProbeId& id) const override {
    if (is_overwritten(id.site.probe)) return Access::write;
    return is_left_alone(id.site.probe) ? Access::none : Access::read;
  }
  void receive(const ProbeId& id, const TensorView& view) override {
    seen_[id.sequence].insert_or_assign(id.site, copy_host(view));
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
  int call_ = 0;
  std::map<SequenceId, std::map<OpSite, Tensor>> seen_;
};

// What the caches of one sequence must hold, layer by layer: the rows that were handed to them.
struct History {
  std::vector<std::vector<double>> keys, values;
};

void append(std::vector<double>& history, const Tensor& rows) {
  const Tensor wide = to_f64(rows.view());
  const std::span<const double> values = wide.values<double>();
  history.insert(history.end(), values.begin(), values.end());
}

// One step of one sequence, checked op by op.
class StepCheck {
 public:
  StepCheck(const IntegerModel& model, const std::map<OpSite, Tensor>& seen, const std::string& where,
            IntegerRun& run)
      : model_(model), shape_(model.shape()), seen_(seen), where_(where), run_(run) {}

  void check(std::span<const TokenId> tokens, std::int64_t past, std::int64_t logit_rows, History& history) {
    inputs(tokens, past);
    embedding(tokens);
    OpSite stream{Probe::embed_tokens, -1};
    for (int layer = 0; layer < static_cast<int>(shape_.layers); ++layer) {
      const std::string name = fmt::format("model.layers.{}.", layer);
      const OpSite normed{Probe::input_layernorm, layer},
          normed_again{Probe::post_attention_layernorm, layer};
      linear({Probe::q_proj, layer}, normed, name + "self_attn.q_proj");
      linear({Probe::k_proj, layer}, normed, name + "self_attn.k_proj");
      linear({Probe::v_proj, layer}, normed, name + "self_attn.v_proj");
      cache(layer, history);
      linear({Probe::o_proj, layer}, {Probe::context, layer}, name + "self_attn.o_proj");
      sum({Probe::attn_residual, layer}, stream, {Probe::o_proj, layer});
      linear({Probe::gate_proj, layer}, normed_again, name + "mlp.gate_proj");
      linear({Probe::up_proj, layer}, normed_again, name + "mlp.up_proj");
      linear({Probe::down_proj, layer}, {Probe::act, layer}, name + "mlp.down_proj");
      stream = {Probe::mlp_residual, layer};
      sum(stream, {Probe::attn_residual, layer}, {Probe::down_proj, layer});
    }
    if (logit_rows > 0) head(logit_rows);
  }

 private:
  // A probe that the engine did not give is compared as an empty tensor, which fails.
  TensorView seen(OpSite site) const {
    const auto found = seen_.find(site);
    return found == seen_.end() ? TensorView(nullptr, DType::f32, Shape{0}) : found->second.view();
  }

  template <typename Value>
  void compare(OpSite site, const std::vector<Value>& expected) {
    run_.tallies[site.probe].compare(site_name(site) + where_, seen(site), std::span<const Value>(expected));
  }

  void inputs(std::span<const TokenId> tokens, std::int64_t past) {
    const auto count = static_cast<std::int64_t>(tokens.size());
    compare({Probe::input_ids, -1}, Integers(tokens.begin(), tokens.end()));
    Integers positions(tokens.size());
    std::iota(positions.begin(), positions.end(), past);
    compare({Probe::position_ids, -1}, positions);
    if (shape_.window == 0) {
      compare({Probe::attention_mask, -1}, integer_mask(count, past, 0));
    } else {
      compare({Probe::attention_mask_full, -1}, integer_mask(count, past, 0));
      compare({Probe::attention_mask_sliding, -1}, integer_mask(count, past, shape_.window));
    }
  }

  void embedding(std::span<const TokenId> tokens) {
    const std::span<const std::int8_t> table = model_.weight("model.embed_tokens.weight");
    const auto hidden = static_cast<std::size_t>(shape_.hidden);
    Integers rows;
    for (const TokenId token : tokens) {
      const auto row = table.subspan(static_cast<std::size_t>(token) * hidden, hidden);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    compare({Probe::embed_tokens, -1}, rows);
  }

  void linear(OpSite site, OpSite input, const std::string& name) {
    const TensorView x = seen(input);
    require(x.shape.rank() == 2, "run_on_integers: the engine gave no " + site_name(input));
    compare(site, integer_linear(integers_of(x), model_.weight(name + ".weight"),
                                 model_.weight(name + ".bias"), x.shape[1]));
  }

  // Of what the engine itself recorded, so that a wrong layer before it is not blamed on it.
  void sum(OpSite site, OpSite stream, OpSite added) {
    const Integers a = integers_of(seen(stream)), b = integers_of(seen(added));
    compare(site, a.size() == b.size() ? integer_sum(a, b) : Integers{});
  }

  void cache(int layer, History& history) {
    const auto at = static_cast<std::size_t>(layer);
    const auto key = seen_.find({Probe::k_rope, layer}), value = seen_.find({Probe::v_proj, layer});
    if (key != seen_.end()) append(history.keys[at], key->second);
    if (value != seen_.end()) append(history.values[at], value->second);
    compare({Probe::past_key, layer}, history.keys[at]);
    compare({Probe::past_value, layer}, history.values[at]);
  }

  void head(std::int64_t logit_rows) {
    const TensorView x = seen({Probe::norm, -1});
    require(x.shape.rank() == 2, "run_on_integers: the engine gave no model.norm");
    const Integers last = integers_of(x.last_rows(logit_rows));
    compare({Probe::lm_head, -1}, integer_linear(last, model_.weight("lm_head.weight"), {}, shape_.hidden));
  }

  const IntegerModel& model_;
  const IntegerShape& shape_;
  const std::map<OpSite, Tensor>& seen_;
  const std::string where_;
  IntegerRun& run_;
};

// A sequence of the run: its tokens so far, and what its cache must hold.
struct Sequence {
  std::int64_t length = 0;
  History history;
};

class Runner {
 public:
  Runner(Engine& engine, const IntegerModel& model, CacheKind kind, std::int64_t capacity)
      : engine_(engine), model_(model), cache_(engine.make_cache({kind, 2, capacity, DType::f32})) {
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
    StepCheck(model_, sink_.of(part.sequence), where, run_)
        .check(tokens, sequence.length, logit_rows, sequence.history);
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
