#include "phases/support/integer_step.h"

#include <numeric>

#include <fmt/format.h>

namespace plumbline::phases {
namespace {

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

}  // namespace

void check_integer_step(const IntegerModel& model, const std::map<OpSite, Tensor>& seen,
                        const std::string& where, std::span<const TokenId> tokens, std::int64_t past,
                        std::int64_t logit_rows, History& history, IntegerRun& run) {
  StepCheck(model, seen, where, run).check(tokens, past, logit_rows, history);
}

}  // namespace plumbline::phases
