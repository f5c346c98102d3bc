// Replays of everything but attention.
#include <algorithm>
#include <string>
#include <vector>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/replay_torch.h"
#include "reference/internal/rounding_torch.h"
#include "reference/mask.h"

namespace plumbline::reference {
at::Tensor op_input(const ReplayModel& model, const Recorded& in, OpSite site, std::size_t i,
                    std::int64_t rows) {
  const OpInput& source = probe_spec(site.probe).inputs.at(i);
  if (source.source == InputSource::residual_stream) {
    return in.residual_stream(site.layer < 0 ? static_cast<int>(model.config.num_hidden_layers) : site.layer,
                              rows);
  }
  require(source.source == InputSource::probe, "replay: an input that is no tensor of this step");
  return in.probe({source.probe, probe_spec(source.probe).scope == ProbeScope::layer ? site.layer : -1},
                  rows);
}

at::Tensor op_weight(const ReplayModel& model, OpSite site, const std::string& kind) {
  const std::string name = std::string(probe_spec(site.probe).name) + kind;
  if (site.layer >= 0) return model.weights.layer(site.layer, name);
  return kind == ".bias" ? at::Tensor() : model.weights.get(name);
}

namespace {

Replay exact(const at::Tensor& expected) {
  Replay replay;
  replay.expected = to_harness(expected);
  return replay;
}

Replay bounded(const at::Tensor& expected, const at::Tensor& bound, std::vector<bool> distinct = {}) {
  Replay replay = exact(expected);
  replay.bound = to_harness(bound.expand_as(expected));
  replay.distinct_row = std::move(distinct);
  return replay;
}

// What an engine rounds within the op.
void round_each(Replay& replay, const ops::Rounded& rounded) {
  replay.emulated = to_harness(rounded.emulated);
  replay.roundings = to_harness(rounded.roundings);
}

bool all_at_zero(const at::Tensor& positions) {
  return positions.count_nonzero().item<std::int64_t>() == 0;
}

// cos or sin, and their derivative's size, of f64 angles: [tokens, head_dim].
at::Tensor wave(OpSite site, const at::Tensor& angles) {
  return site.probe == Probe::cos ? angles.cos() : angles.sin();
}
at::Tensor slope(OpSite site, const at::Tensor& angles) {
  return (site.probe == Probe::cos ? angles.sin() : angles.cos()).abs();
}

at::Tensor f64_angles(const Recorded& in, const Frequencies& frequencies, std::int64_t rows) {
  return ops::rotary_angles(in.positions(rows), frequencies.table).to(at::kDouble);
}

}  // namespace

Replay replay_token_ids(const ReplayModel&, const Recorded& in, OpSite site) {
  return exact(in.given_ids(in.rows(site)));
}

Replay replay_positions(const ReplayModel&, const Recorded& in, OpSite site) {
  return exact(in.given_positions(in.rows(site)));
}

Replay replay_mask(const ReplayModel& model, const Recorded& in, OpSite site) {
  const bool slides =
      site.probe == Probe::attention_mask_sliding ||
      (site.probe == Probe::attention_mask && model.config.layer_types.at(0) == LayerType::sliding_attention);
  const std::int64_t rows = in.rows(site);
  Replay replay;
  replay.expected =
      allowed_mask(rows, in.past() + in.tokens() - rows, slides ? model.config.sliding_window : std::nullopt);
  replay.trivial = as_torch(replay.expected.view()).all().item<bool>();
  return replay;
}

// B is one ulp of f32 at the exact value.
Replay replay_inv_freq(const ReplayModel& model, const Recorded&, OpSite) {
  Replay replay = exact(ops::exact_inverse_frequencies(model.config));
  replay.bound = Tensor(DType::f64, replay.expected.shape());
  const auto expected = std::as_const(replay.expected).values<double>();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    replay.bound.values<double>()[i] = 2.0 * half_spacing(expected[i], DType::f32);
  }
  return replay;
}

// At the f32 angle. An engine whose frequencies are not known made them itself: then 2u angle |slope| with
// lambda 10 comes on top, here times 10 / 2.5, because lambda is 2.5.
Replay replay_cos_sin(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const double factor = model.config.rope.attention_factor;
  const Frequencies frequencies = in.frequencies();
  const at::Tensor angles = f64_angles(in, frequencies, rows);
  const at::Tensor y = wave(site, angles);
  at::Tensor bound = ops::cos_sin_bound(y, factor);
  if (!frequencies.recorded)
    bound = bound + 10.0 / 2.5 * 2.0 * ops::kUnitRoundoff * factor * angles.abs() * slope(site, angles);
  const at::Tensor positions = in.positions(rows);
  Replay replay = bounded(y * factor, bound, distinct_rows({positions}));
  replay.trivial = all_at_zero(positions);
  return replay;
}

Replay replay_embedding(const ReplayModel& model, const Recorded& in, OpSite site) {
  const at::Tensor ids = in.token_ids(in.rows(site));
  Replay replay = exact(model.weights.gathered("model.embed_tokens.weight", ids));
  replay.distinct_row = distinct_rows({ids});
  return replay;
}

Replay replay_rms_norm(const ReplayModel& model, const Recorded& in, OpSite site) {
  const at::Tensor x = op_input(model, in, site, 0, in.rows(site));
  const at::Tensor weight = op_weight(model, site, ".weight");
  const double eps = model.config.rms_norm_eps;
  const at::Tensor y = ops::rms_norm(x, weight, eps);
  Replay replay = bounded(y, ops::rms_norm_bound(y), distinct_rows({x}));
  if (in.rounds_each()) round_each(replay, ops::rms_norm_rounded(x, weight, eps, y, model.storage));
  return replay;
}

Replay replay_linear(const ReplayModel& model, const Recorded& in, OpSite site) {
  const at::Tensor x = op_input(model, in, site, 0, in.rows(site));
  const std::string name = std::string(probe_spec(site.probe).name) + ".weight";
  const bool is_head = site.layer < 0;
  const at::Tensor w = is_head ? at::Tensor() : op_weight(model, site, ".weight");
  const std::int64_t outputs = is_head ? model.weights.rows_of(name) : w.size(0);
  Replay replay;
  replay.expected = Tensor(DType::f64, Shape{x.size(0), outputs});
  replay.bound = Tensor(DType::f64, replay.expected.shape());
  const at::Tensor expected = writable(replay.expected), bound = writable(replay.bound);
  if (!is_head) {
    const at::Tensor b = op_weight(model, site, ".bias");
    ops::linear_into(expected, x, w, b);
    ops::linear_bound_into(bound, x, w, b);
  }
  for (std::int64_t from = 0; is_head && from < outputs; from += kHeadRows) {
    const std::int64_t count = std::min(kHeadRows, outputs - from);
    const at::Tensor part = model.weights.rows(name, from, count);
    ops::linear_into(expected.narrow(1, from, count), x, part, at::Tensor());
    ops::linear_bound_into(bound.narrow(1, from, count), x, part, at::Tensor());
  }
  replay.distinct_row = distinct_rows({x});
  return replay;
}

Replay replay_rope(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const double factor = model.config.rope.attention_factor;
  const at::Tensor x = op_input(model, in, site, 0, rows).view({rows, -1, model.config.head_dim});
  const bool given = in.has({Probe::cos, -1}) && in.has({Probe::sin, -1});
  const DType kept = in.kept(Probe::cos);
  at::Tensor cos;
  at::Tensor sin;
  at::Tensor bound = ops::rope_bound(x, factor);
  at::Tensor either;          // where cos and sin may be rounded either way
  bool ceiling_holds = true;  // that of the contract for given cosines and sines
  if (given) {
    cos = in.probe({Probe::cos, -1}, rows);
    sin = in.probe({Probe::sin, -1}, rows);
  } else {
    const Frequencies frequencies = in.frequencies();
    const at::Tensor angles = f64_angles(in, frequencies, rows);
    cos = angles.cos() * factor;
    sin = angles.sin() * factor;
    if (!frequencies.recorded) bound = ops::rope_bound_own_table(x, cos, sin, angles);
    ceiling_holds = frequencies.recorded;
    if (is_half(kept)) {
      either = ops::rope_roundings_of_table(x, angles, factor, !frequencies.recorded, kept);
      cos = rounded_to(cos, kept);
      sin = rounded_to(sin, kept);
    }
  }
  const at::Tensor y = ops::rope(x, cos, sin);
  Replay replay = bounded(y, bound, distinct_rows({x, cos, sin}));
  if (in.rounds_each() && is_half(kept)) {
    ops::Rounded rounded = ops::rope_rounded(x, cos, sin, y, model.storage);
    if (either.defined()) rounded.roundings = rounded.roundings + either;
    round_each(replay, rounded);
  } else if (either.defined()) {
    replay.roundings = to_harness(either);
  }
  replay.trivial = all_at_zero(in.positions(rows));
  replay.ceiling_holds = ceiling_holds;
  return replay;
}

Replay replay_cache_update(const ReplayModel&, const Recorded& in, OpSite site) {
  return exact(in.updated_cache(site));
}

// The sum's one rounding, from f64: 53 bits >= 2 * 24 + 2, so rounding twice does no harm.
Replay replay_residual(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const at::Tensor a = op_input(model, in, site, 0, rows);
  const at::Tensor b = op_input(model, in, site, 1, rows);
  Replay replay = exact(rounded_to(ops::residual(a, b), model.storage));
  replay.distinct_row = distinct_rows({a, b});
  return replay;
}

Replay replay_silu_mul(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const at::Tensor gate = op_input(model, in, site, 0, rows);
  const at::Tensor up = op_input(model, in, site, 1, rows);
  const at::Tensor y = ops::silu_mul(gate, up);
  Replay replay = bounded(y, ops::silu_mul_bound(gate, up, y), distinct_rows({gate, up}));
  if (in.rounds_each()) round_each(replay, ops::silu_mul_rounded(gate, up, y, model.storage));
  return replay;
}

}  // namespace plumbline::reference
