// The layers of a forward pass: attention and MLP.
#include "impl/cuda/attention/attention.h"
#include "impl/cuda/cache_update.h"
#include "impl/cuda/forward_pass.h"
#include "impl/cuda/rope.h"
#include "impl/cuda/rope_update.h"
#include "impl/cuda/silu_mul.h"
#include "impl/input_probes.h"

namespace plumbline::native::cuda {

void ForwardPass::project_queries(int layer, const LayerWeights& weights) {
  const LinearOutput outputs[3] = {
      {weights.q_proj, w_.query.data()}, {weights.k_proj, w_.key.data()}, {weights.v_proj, w_.value.data()}};
  if (joins()) return linear_three(state_.stream, model_.storage, outputs, w_.normed.data(), batch_.rows);
  for (const LinearOutput& each : outputs) project_.run(each.layer, w_.normed.data(), each.y);
  show({Probe::q_proj, layer}, w_.query, derived_.query_dim);
  show({Probe::k_proj, layer}, w_.key, derived_.key_value_dim);
  show({Probe::v_proj, layer}, w_.value, derived_.key_value_dim);
}

void ForwardPass::attention_block(int layer, const LayerWeights& weights) {
  norm(weights.input_layernorm, w_.stream.data(), batch_.rows, w_.normed.data());
  show({Probe::input_layernorm, layer}, w_.normed, config_.hidden_size);
  project_queries(layer, weights);

  if (joins()) {
    rotate_and_store(layer);
  } else {
    rotate(layer);
    update_cache(layer);
  }
  attend(layer);
  show({Probe::context, layer}, w_.context, derived_.query_dim);
  if (joins()) {
    return linear_residual(state_.stream, model_.storage, weights.o_proj, w_.context.data(), batch_.rows,
                           w_.stream.data());
  }
  project_.run(weights.o_proj, w_.context.data(), w_.delta.data());
  show({Probe::o_proj, layer}, w_.delta, config_.hidden_size);
  add_to_stream({Probe::attn_residual, layer});
}

void ForwardPass::rotate(int layer) {
  const auto one = [&](DeviceBuffer& buffer, std::int64_t heads) {
    rope(state_.stream, model_.storage, buffer.data(), batch_.rows, heads, config_.head_dim,
         w_.cos.as<float>(), w_.sin.as<float>());
  };
  one(w_.query, config_.num_attention_heads);
  show_heads({Probe::q_rope, layer}, w_.query, config_.num_attention_heads);
  one(w_.key, config_.num_key_value_heads);
  show_heads({Probe::k_rope, layer}, w_.key, config_.num_key_value_heads);
}

// rotate() and update_cache() in one launch.
void ForwardPass::rotate_and_store(int layer) {
  RopeUpdate update;
  update.queries = w_.query.data();
  update.keys = w_.key.data();
  update.values = w_.value.data();
  update.cos = w_.cos.as<float>();
  update.sin = w_.sin.as<float>();
  update.steps = tables_.steps;
  update.runs = tables_.runs + layer * steps();
  update.step_of_row = tables_.step_of_row;
  update.rows = batch_.rows;
  update.heads = config_.num_attention_heads;
  update.kv_heads = config_.num_key_value_heads;
  update.head_dim = config_.head_dim;
  rope_update(state_.stream, model_.storage, cache_.spec().dtype, update);
}

void ForwardPass::update_cache(int layer) {
  cache_update(state_.stream, model_.storage, cache_.spec().dtype, w_.key.data(), w_.value.data(),
               tables_.steps, tables_.runs + layer * steps(), tables_.step_of_row, batch_.rows,
               config_.num_key_value_heads, config_.head_dim);
  if (!listening_) return;
  show_past(Probe::past_key, CachePart::key, layer);
  show_past(Probe::past_value, CachePart::value, layer);
}

// In the cache's dtype and in logical order, whatever its layout; it comes to the host for that.
void ForwardPass::show_past(Probe probe, CachePart part, int layer) {
  const OpSite site{probe, layer};
  for (const BatchStep& step : batch_.steps) {
    const Emitter::Access access = emit_.access(site, step);
    if (access == Emitter::Access::none) continue;
    Tensor held = cache_.read_pending(layer, step.sequence, part);
    emit_.on_host(site, step, held.mutable_view());
    if (access == Emitter::Access::write) cache_.replace_pending(layer, step.sequence, part, held);
  }
}

void ForwardPass::attend(int layer) {
  AttentionLayer in;
  in.storage = model_.storage;
  in.cache = cache_.spec().dtype;
  in.heads = config_.num_attention_heads;
  in.kv_heads = config_.num_key_value_heads;
  in.head_dim = config_.head_dim;
  in.scale = static_cast<float>(derived_.attention_scale);
  in.window = window_of(config_, layer).value_or(0);
  in.runs = tables_.runs + layer * steps();
  in.tensor_core_rows = project_.fewest_for_library();
  const RowPart part = shows_scores_ ? RowPart::whole : RowPart::allowed;
  float* const scores = w_.scores.as<float>();
  float* const probs = shows_scores_ ? w_.probs.as<float>() : scores;
  for (const AttentionWave& wave : plan_.waves) {
    in.tiles = tables_.tiles + wave.first_tile;
    in.tile_count = wave.tiles;
    in.most_queries = wave.most_queries;
    in.most_keys = wave.most_keys;
    in.fewest_rows = wave.fewest_rows;
    in.most_rows = wave.most_rows;
    attention_scores(state_.stream, in, w_.query.data(), scores, part);
    if (shows_scores_) show_scores(Probe::scores, layer, w_.scores);
    attention_softmax(state_.stream, in, scores, probs, part);
    if (shows_scores_) show_scores(Probe::probs, layer, w_.probs);
    attention_context(state_.stream, in, probs, wave.keys_apart ? w_.partials.as<float>() : nullptr,
                      w_.context.data());
  }
}

void ForwardPass::show_scores(Probe probe, int layer, const DeviceBuffer& buffer) {
  float* at = buffer.as<float>();
  for (const BatchStep& step : batch_.steps) {
    const Shape shape{config_.num_attention_heads, step.rows, step.past + step.rows};
    emit_.tensor({probe, layer}, step, at, DType::f32, shape);
    at += shape.elements();
  }
}

void ForwardPass::mlp_block(int layer, const LayerWeights& weights) {
  norm(weights.post_attention_layernorm, w_.stream.data(), batch_.rows, w_.normed.data());
  if (joins()) {
    linear_silu_mul(state_.stream, model_.storage, weights.gate_proj, weights.up_proj, w_.normed.data(),
                    batch_.rows, w_.gate.data());
    return linear_residual(state_.stream, model_.storage, weights.down_proj, w_.gate.data(), batch_.rows,
                           w_.stream.data());
  }
  show({Probe::post_attention_layernorm, layer}, w_.normed, config_.hidden_size);
  project_.run(weights.gate_proj, w_.normed.data(), w_.gate.data());
  show({Probe::gate_proj, layer}, w_.gate, config_.intermediate_size);
  project_.run(weights.up_proj, w_.normed.data(), w_.up.data());
  show({Probe::up_proj, layer}, w_.up, config_.intermediate_size);
  silu_mul(state_.stream, model_.storage, w_.gate.data(), w_.up.data(),
           batch_.rows * config_.intermediate_size, w_.gate.data());
  show({Probe::act, layer}, w_.gate, config_.intermediate_size);
  project_.run(weights.down_proj, w_.gate.data(), w_.delta.data());
  show({Probe::down_proj, layer}, w_.delta, config_.hidden_size);
  add_to_stream({Probe::mlp_residual, layer});
}

}  // namespace plumbline::native::cuda
