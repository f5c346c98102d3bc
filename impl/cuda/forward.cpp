#include "impl/cuda/forward.h"

#include <algorithm>

#include "impl/cuda/embedding.h"
#include "impl/cuda/forward_pass.h"
#include "impl/cuda/rope.h"
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

}  // namespace

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

bool ForwardPass::decode_step_serves() const {
  return state_.decode_step != nullptr && state_.decode_step->takes(batch_, cache_.spec().dtype, runs_);
}

void ForwardPass::queue_decode_step() {
  float* const logits = batch_.logit_rows > 0 ? w_.logits.as<float>() : nullptr;
  state_.decode_step->run(tables_, cache_.spec().dtype, logits);
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
  runs_ = {host.runs, runs};
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

void forward(const Model& model, const DeviceState& state, const Batch& batch, NativeCache& cache,
             ProbeSink& sink) {
  ForwardPass(model, state, batch, cache, sink).run();
}

}  // namespace plumbline::native::cuda
