// The ops of the third forward pass.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/mutants/forward.h"

namespace plumbline::mutants {
namespace {

// Mistakes of linear.cpp are each planted in one layer of the block.
Mistake planted_in(Probe probe, Mistake planted) {
  const auto here = [&]() -> std::vector<Mistake> {
    switch (probe) {
      case Probe::q_proj:
        return {Mistake::bias_twice, Mistake::rounded_before_bias};
      case Probe::k_proj:
        return {Mistake::bias_for_first_token};
      case Probe::v_proj:
        return {Mistake::output_not_cleared};
      case Probe::o_proj:
        return {Mistake::second_half_lost};
      case Probe::gate_proj:
        return {Mistake::linear_in_tf32, Mistake::last_token_repeated};
      case Probe::up_proj:
        return {Mistake::tile_rows_lost, Mistake::sum_in_storage};
      case Probe::down_proj:
        return {Mistake::product_lost, Mistake::tail_lanes_lost, Mistake::sum_in_f16,
                Mistake::partial_sums_rounded};
      case Probe::lm_head:
        return {Mistake::weights_in_bf16};
      default:
        return {};
    }
  }();
  return std::find(here.begin(), here.end(), planted) == here.end() ? Mistake::none : planted;
}

float activation(float g, Mistake planted) {
  const float sigmoid = 1 / (1 + std::exp(-g));
  if (planted == Mistake::gelu) return 0.5f * g * (1 + std::erf(g * static_cast<float>(M_SQRT1_2)));
  if (planted == Mistake::relu) return std::max(g, 0.0f);
  if (planted == Mistake::sigmoid_alone) return sigmoid;
  return g * sigmoid;
}

}  // namespace

// An op's output as it is kept: the one place where ops round to the storage type.
float Forward::stored(Probe probe, float value) const {
  const bool sum_of_stream = probe == Probe::attn_residual || probe == Probe::mlp_residual;
  if (planted(Mistake::output_cut) && probe == Probe::v_proj) return cut(value, format_.storage());
  if (planted(Mistake::ties_away_from_zero) && sum_of_stream) return away_from_zero(value, format_.storage());
  if (planted(Mistake::logits_rounded_twice) && probe == Probe::lm_head) {
    value = rounded(value, other_half(format_.storage()));
  }
  return format_.stored(value);
}

void Forward::store(Probe probe, Rows& rows) const {
  if (!format_.half()) return;
  for (float& value : rows.values) value = stored(probe, value);
}

// Not rounded yet.
Rows Forward::norm(const Rows& x, const std::vector<float>& weight) const {
  Rows y(x.rows, x.columns);
  for (int t = 0; t < x.rows; ++t) {
    const float* from = x.row(t);
    const bool subtracts = planted(Mistake::norm_subtracts_mean);
    const double mean = subtracts ? std::accumulate(from, from + x.columns, 0.0) / x.columns : 0;
    double squares = 0;
    for (int i = 0; i < x.columns; ++i) {
      squares += (from[i] - mean) * (from[i] - mean);
      if (planted(Mistake::norm_sum_in_bf16)) squares = to_bf16(static_cast<float>(squares));
    }
    double divisor = planted(Mistake::norm_over_n_minus_one) ? x.columns - 1 : x.columns;
    if (planted(Mistake::norm_without_mean)) divisor = 1;
    const double mean_square = squares / divisor;
    const double root = planted(Mistake::norm_eps_outside_root) ? std::sqrt(mean_square) + arch_.eps
                                                                : std::sqrt(mean_square + arch_.eps);
    const auto scale = static_cast<float>(1 / root);
    for (int i = 0; i < x.columns; ++i) {
      const float w =
          weight[static_cast<std::size_t>(i)] + (planted(Mistake::norm_weight_plus_one) ? 1.0f : 0.0f);
      const auto normed = static_cast<float>(from[i] - mean) * scale;
      y.row(t)[i] = (planted(Mistake::norm_weight_before_cast) ? normed : format_.inner(normed)) * w;
    }
  }
  return y;
}

Rows Forward::project(Probe probe, int layer, const Rows& x, const Linear& weights) {
  Rows y = linear(x, weights, order_, planted_in(probe, planted_), format_);
  store(probe, y);
  emit(probe, layer, y);
  return y;
}

Rows Forward::residual(Probe probe, int layer, const Rows& x, const Rows& added) {
  const Rows& stream = planted(Mistake::stream_kept_in_f32) ? sum_ : x;
  Rows y(x.rows, x.columns);
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    y.values[i] = planted(Mistake::residual_left_out) ? added.values[i] : stream.values[i] + added.values[i];
    if (planted(Mistake::residual_in_bf16)) y.values[i] = to_bf16(y.values[i]);
    if (planted(Mistake::residual_in_f16)) y.values[i] = to_f16(y.values[i]);
  }
  sum_ = y;
  store(probe, y);
  emit(probe, layer, y);
  return y;
}

void Forward::rotate_heads(Rows& rows, Mistake mistake) const {
  for (int t = 0; t < rows.rows; ++t) {
    for (int first = 0; first < rows.columns; first += arch_.head_dim) {
      rotate(rows.row(t) + first, arch_.head_dim, wave_.cos.row(t), wave_.sin.row(t), mistake, format_);
    }
  }
}

Rows Forward::rotated_queries(int layer, const Rows& q, const Rows& normed) const {
  Rows out = q;
  const Linear& weights = model_.layers[static_cast<std::size_t>(layer)].q;
  if (planted(Mistake::rotated_before_bias)) out = linear(normed, {weights.weight, {}}, order_);
  rotate_heads(out, planted_);
  if (planted(Mistake::rotated_before_bias)) {
    for (std::size_t i = 0; i < out.values.size(); ++i)
      out.values[i] += weights.bias[i % weights.bias.size()];
  }
  store(Probe::q_rope, out);
  return out;
}

// keys_rotated_twice: all earlier keys, each by its own angle.
void Forward::rotate_cached_keys(int layer) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(past_));
  std::iota(positions.begin(), positions.end(), -slots_[static_cast<std::size_t>(slot_)].pads);
  const Wave wave = wave_of(arch_, frequencies_, positions, Mistake::none, format_);
  for (int c = 0; c < past_; ++c) {
    for (int head = 0; head < arch_.kv_heads; ++head) {
      float* key = cache_.key(layer, slot_, c) + head * arch_.head_dim;
      rotate(key, arch_.head_dim, wave.cos.row(c), wave.sin.row(c), Mistake::none, format_);
      std::transform(key, key + arch_.head_dim, key, [&](float value) { return format_.stored(value); });
    }
  }
}

std::vector<Place> Forward::places(int layer, int slot, int first, int count) {
  std::vector<Place> out;
  if (formed_) {
    for (int i = first; i < first + count; ++i) out.push_back({held_.keys.row(i), held_.values.row(i)});
    return out;
  }
  for (int i = first; i < first + count; ++i)
    out.push_back({cache_.key(layer, slot, i), cache_.value(layer, slot, i)});
  return out;
}

std::vector<Place> Forward::places_beyond(int layer) {
  const int length = past_ + rows_;
  if (planted(Mistake::free_slots_attended)) return places(layer, slot_, length, cache_.capacity() - length);
  if (planted(Mistake::stale_keys_attended)) {
    const int highest = slots_[static_cast<std::size_t>(slot_)].highest;
    return places(layer, slot_, length, std::max(highest - length, 0));
  }
  if (planted(Mistake::neighbour_attended) && slot_ > 0)
    return places(layer, slot_ - 1, 0, cache_.length(slot_ - 1));
  return {};
}

void Forward::update_cache(int layer, const Rows& keys, const Rows& values) {
  cache_.append(layer, slot_, keys, values);
  if (formed_) {
    formed_->append(layer, keys, values);
    held_ = formed_->read(layer);
  }
  emit_cache(layer);
  if (!planted(Mistake::half_not_read)) return;
  for (int t = 0; t < keys.rows; ++t)
    std::copy_n(keys.row(t), keys.columns, held_.keys.row(held_.keys.rows - keys.rows + t));
}

Rows Forward::attention(int i, const Rows& normed, const Rows& x) {
  const LayerWeights& w = model_.layers[static_cast<std::size_t>(i)];
  const Rows q = project(Probe::q_proj, i, planted(Mistake::q_reads_stream) ? x : normed, w.q);
  Rows k = project(Probe::k_proj, i, normed, w.k);
  Rows v = project(Probe::v_proj, i, normed, w.v);
  const Rows q_rope = rotated_queries(i, q, normed);
  if (!planted(Mistake::keys_not_rotated)) rotate_heads(k, planted_);
  store(Probe::k_rope, k);
  emit_heads(Probe::q_rope, i, q_rope, arch_.heads);
  emit_heads(Probe::k_rope, i, k, arch_.kv_heads);
  if (planted(Mistake::values_rotated)) rotate_heads(v, Mistake::none);
  store(Probe::past_value, v);
  if (planted(Mistake::keys_rotated_twice)) rotate_cached_keys(i);
  update_cache(i, k, v);

  const bool slides = arch_.slides(i) != planted(Mistake::wrong_layers_slide);
  AttentionInput in{q_rope, slides ? sliding_ : full_, places(i, slot_, 0, past_ + rows_), places_beyond(i)};
  in.format = format_;
  in.pads = slots_[static_cast<std::size_t>(slot_)].pads;
  in.hidden = arch_.hidden;
  in.heads = arch_.heads;
  in.kv_heads = arch_.kv_heads;
  in.head_dim = arch_.head_dim;
  Attended out = attend(in, order_, planted_);
  store(Probe::context, out.context);
  emit_squares(Probe::scores, i, out.scores);
  emit_squares(Probe::probs, i, out.probs);
  emit(Probe::context, i, out.context);
  return project(Probe::o_proj, i, out.context, w.o);
}

Rows Forward::mlp(int i, const Rows& normed) {
  const LayerWeights& w = model_.layers[static_cast<std::size_t>(i)];
  Rows gate = project(Probe::gate_proj, i, normed, w.gate);
  Rows up = project(Probe::up_proj, i, normed, w.up);
  if (planted(Mistake::silu_of_up)) std::swap(gate, up);
  for (std::size_t k = 0; k < gate.values.size(); ++k) {
    float activated = activation(gate.values[k], planted_);
    if (!planted(Mistake::silu_rounded_once)) activated = format_.inner(activated);
    if (planted(Mistake::silu_rounded_first)) activated = format_.stored(activated);
    gate.values[k] = activated * up.values[k];
    if (planted(Mistake::act_in_bf16)) gate.values[k] = to_bf16(gate.values[k]);
  }
  store(Probe::act, gate);
  emit(Probe::act, i, gate);
  return project(Probe::down_proj, i, gate, w.down);
}

void Forward::layer(int i, Rows& x) {
  const LayerWeights& w = model_.layers[static_cast<std::size_t>(i)];
  const Rows before = x;
  Rows normed = norm(x, w.input_norm);
  store(Probe::input_layernorm, normed);
  emit(Probe::input_layernorm, i, normed);
  const Rows attended = attention(i, normed, x);
  x = residual(Probe::attn_residual, i, planted(Mistake::residual_of_normed) ? normed : x, attended);
  Rows post = norm(planted(Mistake::post_norm_reads_layer_input) ? before : x, w.post_norm);
  store(Probe::post_attention_layernorm, post);
  emit(Probe::post_attention_layernorm, i, post);
  const Rows down = mlp(i, post);
  x = residual(Probe::mlp_residual, i, planted(Mistake::mlp_residual_of_layer_input) ? before : x, down);
}

void Forward::head(const Rows& x) {
  const Rows unrounded = planted(Mistake::final_norm_left_out) ? x : norm(x, model_.final_norm);
  Rows normed = unrounded;
  store(Probe::norm, normed);
  emit(Probe::norm, -1, normed);
  const Rows& read = planted(Mistake::head_reads_stream)           ? x
                     : planted(Mistake::head_reads_unrounded_norm) ? unrounded
                                                                   : normed;
  Rows logits = linear(read, model_.head, order_, planted_in(Probe::lm_head, planted_), format_);
  for (int t = logits.rows - 1; planted(Mistake::head_shifted) && t > 0; --t) {
    std::copy_n(logits.row(t - 1), logits.columns, logits.row(t));
  }
  for (float& value : logits.values) {
    if (planted(Mistake::head_capped)) value = 30 * std::tanh(value / 30);
  }
  store(Probe::lm_head, logits);
  emit(Probe::lm_head, -1, logits);
}

}  // namespace plumbline::mutants
