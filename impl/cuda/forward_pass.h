// One forward pass while it is queued: private to forward.cpp, where it begins and ends, and
// forward_layers.cpp.
#pragma once

#include <cstdint>
#include <span>

#include "impl/cuda/attention/plan.h"
#include "impl/cuda/emitter.h"
#include "impl/cuda/forward.h"
#include "impl/cuda/projection.h"
#include "impl/cuda/residual.h"
#include "impl/cuda/rms_norm.h"

namespace plumbline::native::cuda {

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
    if (moved && state_.graphs != nullptr) state_.graphs->clear();
    if (listening_ || !decodes()) return queue();
    if (decode_step_serves()) return queue_decode_step();
    if (state_.graphs == nullptr) return queue();
    state_.graphs->run(state_.stream, graph_key(), [this] { queue(); });
  }

 private:
  bool wants_scores() const;
  bool decodes() const;
  bool decode_step_serves() const;
  void queue_decode_step();
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
  Tables tables_;                   // on the device
  std::span<const StepRuns> runs_;  // [layers * steps], of the tables on the host
};

}  // namespace plumbline::native::cuda
