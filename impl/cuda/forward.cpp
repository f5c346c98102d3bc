#include "impl/cuda/forward.h"

#include <algorithm>

#include "impl/cuda/attention.h"
#include "impl/cuda/attention_plan.h"
#include "impl/cuda/cache_update.h"
#include "impl/cuda/embedding.h"
#include "impl/cuda/emitter.h"
#include "impl/cuda/projection.h"
#include "impl/cuda/residual.h"
#include "impl/cuda/rms_norm.h"
#include "impl/cuda/rope.h"
#include "impl/cuda/rope_update.h"
#include "impl/cuda/silu_mul.h"
#include "impl/half.h"
#include "impl/input_probes.h"

namespace plumbline::native::cuda {
namespace {

DeviceRuns device_runs(const RunList<StoredRun>& runs) {
  DeviceRuns made{};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const StoredRun& run = runs[i];
    made.runs[i] = {run.keys, run.values, run.tokens, run.token_stride, run.head_stride};
  }
  return made;
}

class ForwardPass {
 public:
  ForwardPass(const Model& model, const DeviceState& state, const Batch& batch, NativeCache& cache,
              ProbeSink& sink)
      : config_(model.config),
        derived_(model.derived),
        model_(model),
        state_(state),
        batch_(batch),
        cache_(cache),
        sink_(sink),
        emit_(sink, batch, state.stream),
        project_(state.stream, model.storage, batch, state.library),
        listening_(emit_.listens(model.sites)),
        shows_scores_(listening_ && wants_scores()),
        plan_(plan_attention(batch,
                             {config_.num_attention_heads, config_.num_key_value_heads, config_.head_dim},
                             shows_scores_)),
        w_(state.workspace) {}

  void run() {
    const bool tables_moved = prepare_tables();
    const bool moved =
        w_.reserve(config_, derived_, model_.storage, batch_.rows, batch_.logit_rows, plan_, shows_scores_) ||
        tables_moved;
    if (state_.graphs == nullptr) return queue();
    if (moved) state_.graphs->clear();
    if (listening_ || !decodes()) return queue();
    state_.graphs->run(state_.stream, graph_key(), [this] { queue(); });
  }

 private:
  bool wants_scores() const;
  bool decodes() const;
  Graphs::Key graph_key() const;
  bool prepare_tables();
  void prepare_frequencies(const Tables& host);
  void queue();
  void rotary_tables();
  void embed();
  void attention_block(int layer, const LayerWeights& weights);
  void project_queries(int layer, const LayerWeights& weights);
  void rotate(int layer);
  void rotate_and_store(int layer);
  void update_cache(int layer);
  void show_past(Probe probe, CachePart part, int layer);
  void attend(int layer);
  void show_scores(Probe probe, int layer, const DeviceBuffer& buffer);
  void mlp_block(int layer, const LayerWeights& weights);
  void head();
  void show_logits();

  void norm(const void* weight, const void* in, std::int64_t rows, void* out) {
    rms_norm(state_.stream, model_.storage, weight, static_cast<float>(config_.rms_norm_eps), in, rows,
             config_.hidden_size, out);
  }
  void add_to_stream(OpSite site) {
    residual(state_.stream, model_.storage, w_.stream.data(), w_.delta.data(),
             batch_.rows * config_.hidden_size, w_.stream.data());
    show(site, w_.stream, config_.hidden_size);
  }
  // Whether ops may be launched together: nobody looks at what lies between them.
  bool joins() const { return !listening_ && !project_.uses_library(); }
  void show(OpSite site, const DeviceBuffer& buffer, std::int64_t width) const {
    if (listening_) emit_.rows(site, {buffer.data(), model_.storage, {width}});
  }
  void show_heads(OpSite site, const DeviceBuffer& buffer, std::int64_t heads) const {
    if (listening_) emit_.rows(site, {buffer.data(), model_.storage, {heads, config_.head_dim}});
  }
  std::int64_t steps() const { return static_cast<std::int64_t>(batch_.steps.size()); }

  const ModelConfig& config_;
  const DerivedArchitecture& derived_;
  const Model& model_;
  const DeviceState& state_;
  const Batch& batch_;
  NativeCache& cache_;
  ProbeSink& sink_;
  Emitter emit_;
  Projection project_;
  bool listening_;
  bool shows_scores_;
  AttentionPlan plan_;
  Workspace& w_;
  Tables tables_;  // on the device
};

bool ForwardPass::wants_scores() const {
  std::vector<OpSite> sites;
  for (int layer = 0; layer < static_cast<int>(config_.num_hidden_layers); ++layer) {
    sites.push_back({Probe::scores, layer});
    sites.push_back({Probe::probs, layer});
  }
  return emit_.listens(sites);
}

// One new token for each sequence: steps that follow each other and differ in their tables alone.
bool ForwardPass::decodes() const {
  return plan_.waves.size() == 1 &&
         std::ranges::all_of(batch_.steps, [](const BatchStep& step) { return step.rows == 1; });
}

// All else, as whether keys are apart, follows from these.
Graphs::Key ForwardPass::graph_key() const {
  const AttentionWave& wave = plan_.waves.front();
  return {batch_.rows, batch_.logit_rows, wave.most_keys, static_cast<std::int64_t>(cache_.spec().dtype)};
}

bool ForwardPass::prepare_tables() {
  const auto pairs = static_cast<std::int64_t>(model_.inv_freq.size());
  const Tables host = state_.tables.host({batch_.rows, batch_.logit_rows, steps(), config_.num_hidden_layers,
                                          static_cast<std::int64_t>(plan_.tiles.size()), pairs});
  StepTables::fill(host, batch_);
  std::ranges::copy(plan_.tiles, host.tiles);
  emit_inputs(batch_, config_, sink_);
  prepare_frequencies(host);
  StepRuns* runs = host.runs;
  for (int layer = 0; layer < static_cast<int>(config_.num_hidden_layers); ++layer) {
    for (const BatchStep& step : batch_.steps) {
      runs->room = device_runs(cache_.pending_room(layer, step.sequence));
      runs->held = device_runs(cache_.pending_runs(layer, step.sequence));
      ++runs;
    }
  }
  const bool moved = state_.tables.upload(state_.stream);
  tables_ = state_.tables.device();
  return moved;
}

// A table for each sequence: a sink may write to it.
void ForwardPass::prepare_frequencies(const Tables& host) {
  const auto pairs = static_cast<std::int64_t>(model_.inv_freq.size());
  float* table = host.inv_freq;
  for (const BatchStep& step : batch_.steps) {
    std::ranges::copy(model_.inv_freq, table);
    emit_.on_host({Probe::inv_freq, -1}, step, MutableTensorView(table, DType::f32, {pairs}));
    table += pairs;
  }
}

void ForwardPass::queue() {
  rotary_tables();
  embed();
  for (int layer = 0; layer < static_cast<int>(config_.num_hidden_layers); ++layer) {
    const LayerWeights& weights = model_.weights.layers()[static_cast<std::size_t>(layer)];
    attention_block(layer, weights);
    mlp_block(layer, weights);
  }
  head();
}

void ForwardPass::rotary_tables() {
  cos_sin(state_.stream, tables_.positions, tables_.inv_freq, tables_.step_of_row, config_.head_dim / 2,
          batch_.rows, static_cast<float>(config_.rope.attention_factor), w_.cos.as<float>(),
          w_.sin.as<float>());
  if (!listening_) return;
  emit_.rows({Probe::cos, -1}, {w_.cos.data(), DType::f32, {config_.head_dim}});
  emit_.rows({Probe::sin, -1}, {w_.sin.data(), DType::f32, {config_.head_dim}});
}

void ForwardPass::embed() {
  embedding(state_.stream, model_.storage, model_.weights.embedding(), tables_.tokens, batch_.rows,
            config_.hidden_size, w_.stream.data());
  show({Probe::embed_tokens, -1}, w_.stream, config_.hidden_size);
}

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
  const RowPart part = shows_scores_ ? RowPart::whole : RowPart::allowed;
  float* const scores = w_.scores.as<float>();
  float* const probs = shows_scores_ ? w_.probs.as<float>() : scores;
  for (const AttentionWave& wave : plan_.waves) {
    in.tiles = tables_.tiles + wave.first_tile;
    in.tile_count = wave.tiles;
    in.most_queries = wave.most_queries;
    in.most_keys = wave.most_keys;
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

void ForwardPass::head() {
  const void* const weight = model_.weights.norm();
  const std::int64_t wanted = batch_.logit_rows;
  if (listening_) {
    norm(weight, w_.stream.data(), batch_.rows, w_.normed.data());
    show({Probe::norm, -1}, w_.normed, config_.hidden_size);
  }
  if (wanted == 0) return;
  if (listening_) {
    gather_rows(state_.stream, model_.storage, w_.normed.data(), tables_.logit_rows, wanted,
                config_.hidden_size, w_.head_input.data());
  } else {
    gather_rows(state_.stream, model_.storage, w_.stream.data(), tables_.logit_rows, wanted,
                config_.hidden_size, w_.head_input.data());
    norm(weight, w_.head_input.data(), wanted, w_.head_input.data());
  }
  linear_logits(state_.stream, model_.storage, model_.weights.head(), w_.head_input.data(), wanted,
                w_.logits.as<float>());
  if (listening_) show_logits();
}

// They lie in f32 and hold values of the storage dtype, which is what the sink sees.
void ForwardPass::show_logits() {
  const OpSite site{Probe::lm_head, -1};
  for (const BatchStep& step : batch_.steps) {
    const Emitter::Access access = emit_.access(site, step);
    if (step.logit_rows == 0 || access == Emitter::Access::none) continue;
    float* const at = w_.logits.as<float>() + step.first_logit_row * config_.vocab_size;
    const Shape shape{step.logit_rows, config_.vocab_size};
    if (model_.storage == DType::f32) {
      emit_.tensor(site, step, at, DType::f32, shape);
      continue;
    }
    Tensor wide(DType::f32, shape), shown(model_.storage, shape);
    float* const values = wide.values<float>().data();
    copy_to_host(state_.stream, values, at, wide.bytes().size());
    native::narrow(model_.storage, values, shape.elements(), shown.values<std::byte>().data());
    emit_.on_host(site, step, shown.mutable_view());
    if (access != Emitter::Access::write) continue;
    native::widen(model_.storage, shown.bytes().data(), shape.elements(), values);
    copy_to_device(state_.stream, at, values, wide.bytes().size());
  }
}

}  // namespace

void forward(const Model& model, const DeviceState& state, const Batch& batch, NativeCache& cache,
             ProbeSink& sink) {
  ForwardPass(model, state, batch, cache, sink).run();
}

}  // namespace plumbline::native::cuda
