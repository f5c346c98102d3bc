#include "impl/input_probes.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "harness/error.h"
#include "impl/mask.h"

namespace plumbline::native {
namespace {

using Access = ProbeSink::Access;

void emit(ProbeSink& sink, Probe probe, SequenceId sequence, const TensorView& view) {
  const ProbeId id{{probe, -1}, sequence};
  const Access wanted = sink.access(id);
  if (wanted == Access::write) throw Error("cannot be written: it is discrete", site_name(id.site));
  if (wanted == Access::read) sink.receive(id, view);
}

void emit_mask(ProbeSink& sink, Probe probe, const BatchStep& step, std::optional<std::int64_t> window) {
  if (sink.access({{probe, -1}, step.sequence}) == Access::none) return;
  const Tensor mask = allowed_mask(step.rows, step.past, window);
  emit(sink, probe, step.sequence, mask.view());
}

}  // namespace

std::optional<std::int64_t> window_of(const ModelConfig& config, int layer) {
  const bool slides = config.layer_types[static_cast<std::size_t>(layer)] == LayerType::sliding_attention;
  return slides ? config.sliding_window : std::nullopt;
}

void emit_inputs(const Batch& batch, const ModelConfig& config, ProbeSink& sink) {
  const std::vector<LayerType>& types = config.layer_types;
  const bool alike = std::adjacent_find(types.begin(), types.end(), std::not_equal_to<>()) == types.end();
  for (const BatchStep& step : batch.steps) {
    if (sink.access({{Probe::input_ids, -1}, step.sequence}) != Access::none) {
      const std::vector<std::int64_t> wide(step.tokens.begin(), step.tokens.end());
      emit(sink, Probe::input_ids, step.sequence, TensorView(wide.data(), DType::i64, {step.rows}));
    }
    emit(sink, Probe::position_ids, step.sequence,
         TensorView(step.positions.data(), DType::i64, {step.rows}));
    if (alike) {
      emit_mask(sink, Probe::attention_mask, step, window_of(config, 0));
    } else {
      emit_mask(sink, Probe::attention_mask_full, step, std::nullopt);
      emit_mask(sink, Probe::attention_mask_sliding, step, config.sliding_window);
    }
  }
}

}  // namespace plumbline::native
