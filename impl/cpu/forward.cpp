#include "impl/cpu/forward.h"

#include <algorithm>

#include "impl/cpu/attention.h"
#include "impl/cpu/embedding.h"
#include "impl/cpu/residual.h"
#include "impl/cpu/rms_norm.h"
#include "impl/cpu/rope.h"
#include "impl/cpu/silu_mul.h"
#include "impl/input_probes.h"
#include "impl/memory.h"

namespace plumbline::native {
namespace {

class ForwardPass {
 public:
  ForwardPass(const CpuContext& context, const Model& model, const Batch& batch, NativeCache& cache,
              ProbeSink& sink, Workspace& workspace)
      : context_(context),
        config_(model.config),
        derived_(model.derived),
        model_(model),
        batch_(batch),
        cache_(cache),
        sink_(sink),
        emit_(sink, batch, context.storage, model.precision),
        w_(workspace) {}

  void run() {
    size_workspace();
    emit_inputs(batch_, config_, sink_);
    rotary_tables();
    embed();
    for (int layer = 0; layer < static_cast<int>(config_.num_hidden_layers); ++layer) {
      attention_block(layer, model_.weights.layers()[static_cast<std::size_t>(layer)]);
      mlp_block(layer, model_.weights.layers()[static_cast<std::size_t>(layer)]);
    }
    head();
  }

 private:
  void size_workspace();
  void rotary_tables();
  void embed();
  void attention_block(int layer, const LayerWeights& weights);
  void attend(int layer, const BatchStep& step);
  bool show_past(OpSite site, CachePart part, const BatchStep& step);
  CacheSlice update_cache(int layer, const BatchStep& step);
  void mlp_block(int layer, const LayerWeights& weights);
  void head();
  void norm(const float* weight, const std::vector<float>& in, std::vector<float>& out);
  void project(OpSite site, const LinearWeights& weights, const std::vector<float>& in,
               std::vector<float>& out);
  void add_to_stream(OpSite site);

  const CpuContext& context_;
  const ModelConfig& config_;
  const DerivedArchitecture& derived_;
  const Model& model_;
  const Batch& batch_;
  NativeCache& cache_;
  ProbeSink& sink_;
  Emitter emit_;
  Workspace& w_;
};

void ForwardPass::size_workspace() {
  const auto size = [&](std::vector<float>& buffer, std::int64_t width) {
    resize_floats(buffer, batch_.rows, width, "a buffer of activations");
  };
  for (std::vector<float>* buffer : {&w_.stream, &w_.normed, &w_.delta}) size(*buffer, config_.hidden_size);
  for (std::vector<float>* buffer : {&w_.query, &w_.context}) size(*buffer, derived_.query_dim);
  for (std::vector<float>* buffer : {&w_.key, &w_.value}) size(*buffer, derived_.key_value_dim);
  for (std::vector<float>* buffer : {&w_.gate, &w_.up}) size(*buffer, config_.intermediate_size);
  for (std::vector<float>* buffer : {&w_.cos, &w_.sin}) size(*buffer, config_.head_dim);
  w_.inv_freq.resize(batch_.steps.size() * model_.inv_freq.size());
  resize_floats(w_.head_input, batch_.logit_rows, config_.hidden_size, "the inputs of the logits");
  resize_floats(w_.logits, batch_.logit_rows, config_.vocab_size, "the logits");
}

void ForwardPass::rotary_tables() {
  const std::size_t pairs = model_.inv_freq.size();
  const auto factor = static_cast<float>(config_.rope.attention_factor);
  float* table = w_.inv_freq.data();
  for (const BatchStep& step : batch_.steps) {
    std::copy(model_.inv_freq.begin(), model_.inv_freq.end(), table);
    emit_.tensor({Probe::inv_freq, -1}, step, table, {static_cast<std::int64_t>(pairs)});
    const std::int64_t offset = step.first_row * config_.head_dim;
    cos_sin(step.positions, std::span(table, pairs), factor, w_.cos.data() + offset, w_.sin.data() + offset);
    table += pairs;
  }
  emit_.rows({Probe::cos, -1}, w_.cos.data(), config_.head_dim);
  emit_.rows({Probe::sin, -1}, w_.sin.data(), config_.head_dim);
}

void ForwardPass::embed() {
  for (const BatchStep& step : batch_.steps) {
    embedding(model_.weights.embedding(), config_.hidden_size, step.tokens,
              w_.stream.data() + step.first_row * config_.hidden_size);
  }
  emit_.rows({Probe::embed_tokens, -1}, w_.stream.data(), config_.hidden_size);
}

void ForwardPass::norm(const float* weight, const std::vector<float>& in, std::vector<float>& out) {
  rms_norm(context_, weight, static_cast<float>(config_.rms_norm_eps), in.data(), batch_.rows,
           config_.hidden_size, out.data());
}

void ForwardPass::project(OpSite site, const LinearWeights& weights, const std::vector<float>& in,
                          std::vector<float>& out) {
  linear(context_, weights, in.data(), batch_.rows, out.data());
  emit_.rows(site, out.data(), weights.outs);
}

void ForwardPass::add_to_stream(OpSite site) {
  residual(context_, w_.stream.data(), w_.delta.data(), batch_.rows * config_.hidden_size, w_.stream.data());
  emit_.rows(site, w_.stream.data(), config_.hidden_size);
}

void ForwardPass::attention_block(int layer, const LayerWeights& weights) {
  norm(weights.input_layernorm, w_.stream, w_.normed);
  emit_.rows({Probe::input_layernorm, layer}, w_.normed.data(), config_.hidden_size);
  project({Probe::q_proj, layer}, weights.q_proj, w_.normed, w_.query);
  project({Probe::k_proj, layer}, weights.k_proj, w_.normed, w_.key);
  project({Probe::v_proj, layer}, weights.v_proj, w_.normed, w_.value);

  const std::int64_t heads = config_.num_attention_heads;
  const std::int64_t kv_heads = config_.num_key_value_heads;
  const std::int64_t head_dim = config_.head_dim;
  rope(context_, w_.query.data(), batch_.rows, heads, head_dim, w_.cos.data(), w_.sin.data());
  emit_.head_rows({Probe::q_rope, layer}, w_.query.data(), heads, head_dim);
  rope(context_, w_.key.data(), batch_.rows, kv_heads, head_dim, w_.cos.data(), w_.sin.data());
  emit_.head_rows({Probe::k_rope, layer}, w_.key.data(), kv_heads, head_dim);

  for (const BatchStep& step : batch_.steps) attend(layer, step);
  emit_.rows({Probe::context, layer}, w_.context.data(), derived_.query_dim);
  project({Probe::o_proj, layer}, weights.o_proj, w_.context, w_.delta);
  add_to_stream({Probe::attn_residual, layer});
}

// In the cache's dtype and in logical order, whatever its layout. True where the sink may have changed it.
bool ForwardPass::show_past(OpSite site, CachePart part, const BatchStep& step) {
  const Emitter::Access access = emit_.access(site, step);
  if (access == Emitter::Access::none) return false;
  Tensor held = cache_.read_pending(site.layer, step.sequence, part);
  emit_.tensor(site, step, held.mutable_view());
  if (access == Emitter::Access::read) return false;
  cache_.replace_pending(site.layer, step.sequence, part, held);
  return true;
}

CacheSlice ForwardPass::update_cache(int layer, const BatchStep& step) {
  const std::int64_t offset = step.first_row * derived_.key_value_dim;
  const CacheSlice slice =
      cache_.append(layer, step.sequence, w_.key.data() + offset, w_.value.data() + offset);
  const bool key_changed = show_past({Probe::past_key, layer}, CachePart::key, step);
  const bool value_changed = show_past({Probe::past_value, layer}, CachePart::value, step);
  return key_changed || value_changed ? cache_.pending(layer, step.sequence) : slice;
}

void ForwardPass::attend(int layer, const BatchStep& step) {
  const CacheSlice slice = update_cache(layer, step);
  AttentionInput in;
  in.queries = w_.query.data() + step.first_row * derived_.query_dim;
  in.runs = slice.runs;
  in.tokens = step.rows;
  in.length = slice.length;
  in.heads = config_.num_attention_heads;
  in.kv_heads = config_.num_key_value_heads;
  in.head_dim = config_.head_dim;
  in.scale = static_cast<float>(derived_.attention_scale);
  in.window = window_of(config_, layer);
  float* out = w_.context.data() + step.first_row * derived_.query_dim;

  const OpSite scores_site{Probe::scores, layer};
  const OpSite probs_site{Probe::probs, layer};
  if (!emit_.wants(scores_site, step) && !emit_.wants(probs_site, step)) {
    attention(context_, in, out);
    return;
  }
  const Shape shape{in.heads, in.tokens, in.length};
  resize_floats(w_.scores, in.heads * in.tokens, in.length, "recorded scores");
  resize_floats(w_.probs, in.heads * in.tokens, in.length, "recorded weights of attention");
  attention_scores(context_, in, w_.scores.data());
  emit_.tensor(scores_site, step, w_.scores.data(), shape);
  attention_probs(context_, in, w_.scores.data(), w_.probs.data());
  emit_.tensor(probs_site, step, w_.probs.data(), shape);
  attention_context(context_, in, w_.probs.data(), out);
}

void ForwardPass::mlp_block(int layer, const LayerWeights& weights) {
  norm(weights.post_attention_layernorm, w_.stream, w_.normed);
  emit_.rows({Probe::post_attention_layernorm, layer}, w_.normed.data(), config_.hidden_size);
  project({Probe::gate_proj, layer}, weights.gate_proj, w_.normed, w_.gate);
  project({Probe::up_proj, layer}, weights.up_proj, w_.normed, w_.up);
  silu_mul(context_, w_.gate.data(), w_.up.data(), batch_.rows * config_.intermediate_size, w_.gate.data());
  emit_.rows({Probe::act, layer}, w_.gate.data(), config_.intermediate_size);
  project({Probe::down_proj, layer}, weights.down_proj, w_.gate, w_.delta);
  add_to_stream({Probe::mlp_residual, layer});
}

void ForwardPass::head() {
  const std::int64_t hidden = config_.hidden_size;
  norm(model_.weights.norm(), w_.stream, w_.normed);
  emit_.rows({Probe::norm, -1}, w_.normed.data(), hidden);
  for (const BatchStep& step : batch_.steps) {
    const std::int64_t first = step.first_row + step.rows - step.logit_rows;
    std::copy_n(w_.normed.data() + first * hidden, step.logit_rows * hidden,
                w_.head_input.data() + step.first_logit_row * hidden);
  }
  linear(context_, model_.weights.head(), w_.head_input.data(), batch_.logit_rows, w_.logits.data());
  for (const BatchStep& step : batch_.steps) {
    if (step.logit_rows == 0) continue;
    emit_.tensor({Probe::lm_head, -1}, step, w_.logits.data() + step.first_logit_row * config_.vocab_size,
                 {step.logit_rows, config_.vocab_size});
  }
}

}  // namespace

void forward(const CpuContext& context, const Model& model, const Batch& batch, NativeCache& cache,
             ProbeSink& sink, Workspace& workspace) {
  ForwardPass(context, model, batch, cache, sink, workspace).run();
}

}  // namespace plumbline::native
