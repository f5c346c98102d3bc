// Activations changed while the engine runs: what a probe shows is replaced, added to or scaled, at chosen
// positions, in prefill and in every later token, and the engine goes on with what is left there.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "harness/engine.h"
#include "impl/generation/position_set.h"
#include "impl/generation/step_sink.h"

namespace plumbline::native {

enum class InterventionKind : std::uint8_t { replace, add, scale };

struct Intervention {
  // Any with a row of floats for every token: embed_tokens, cos and sin, norms, projections, q_rope and
  // k_rope, context, act, residuals; and lm_head, of the tokens whose logits are wanted.
  OpSite site{};
  InterventionKind kind = InterventionKind::add;
  // One number for all; or a row [width] for every position; or [positions, width], a row for each position
  // of a range with an end, or of a list in its order. What is replaced becomes the value, 0 added and a
  // factor of 1 change no bit.
  std::vector<float> values{};
  // Of rotary position ids, as SequenceStep has them.
  PositionSet positions{};
  std::optional<SequenceId> sequence{};  // none: all
  // Of probes made of heads (q_proj, q_rope, context; k_proj, k_rope, v_proj of kv_heads): these alone, and a
  // row is [heads.size() * head_dim]. Empty: whole rows.
  std::vector<std::int64_t> heads{};
};

// Carried out in the order given, at each place. On an engine that recomputes what is past (the reference)
// they act on a call's new tokens alone.
class Interventions final : public StepSink {
 public:
  // Throws Error for a probe that has no row for every token or cannot be written (ids, positions, masks,
  // inv_freq, scores, probs, caches, sampling), a layer or head that the model does not have, a head named
  // twice, values that are not finite or do not fit, and two that replace the same place. The engine must
  // outlive it, and let f32 on the host be written.
  Interventions(Engine& engine, std::vector<Intervention> list);

  void begin(std::span<const SequenceStep> steps) override;
  Access access(const ProbeId& id) const override;
  void receive(const ProbeId&, const TensorView&) override {}
  void modify(const ProbeId& id, const MutableTensorView& view) override;

 private:
  // Floats [first, first + count) of a row.
  struct Channels {
    std::int64_t first = 0, count = 0;
  };
  struct Prepared {
    Intervention what;
    std::vector<Channels> channels;
    std::int64_t width = 0;  // of all channels
  };
  Prepared prepare(Intervention what) const;
  void check_replacements(OpSite site, const std::vector<Prepared>& list) const;
  bool acts(const Prepared& each, const ProbeId& id) const;
  // [rows, …] of a probe, in f32.
  void change(const ProbeId& id, const Shape& shape, float* values);
  static void change_row(const Prepared& each, std::int64_t index, float* row);

  Engine& engine_;
  std::map<OpSite, std::vector<Prepared>> at_;
  std::map<SequenceId, std::vector<std::int64_t>> positions_;  // of the call under way
};

}  // namespace plumbline::native
