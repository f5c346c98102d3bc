#include "reference/replay.h"

#include <algorithm>

#include <ATen/Parallel.h>

#include "reference/config.h"
#include "reference/internal/engine_torch.h"
#include "reference/internal/forward_torch.h"
#include "reference/internal/guard_torch.h"
#include "reference/internal/replay_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
namespace {

bool is_fused(OpSite site, const RecordedStep& step) {
  return site.probe == Probe::context && step.find({Probe::probs, site.layer}) == nullptr;
}

constexpr double kF64Unit = 0x1p-29;  // u of f64 over u of f32

// Bounds are written for f32. In f64 they shrink, but not those of what is f32 in any engine of that kind:
// what it computes so (transformers, whose operations are each their own), and angles of an unknown table.
double unit_of(const ReplayModel& model, const Recorded& in, OpClass op) {
  if (model.storage != DType::f64 || op == OpClass::inv_freq) return 1.0;
  const bool by_table = op == OpClass::rope && !(in.has({Probe::cos, -1}) && in.has({Probe::sin, -1}));
  const bool waves = op == OpClass::cos_sin || by_table;
  if (waves && !in.frequencies().recorded) return 1.0;
  const bool in_f32 =
      waves || op == OpClass::rms_norm || op == OpClass::softmax || op == OpClass::fused_attention;
  return in_f32 && in.precision().rounding == Rounding::each ? 1.0 : kF64Unit;
}

Replay dispatch(const ReplayModel& model, const Recorded& in, OpSite site, OpClass op) {
  switch (op) {
    case OpClass::token_ids:
      return replay_token_ids(model, in, site);
    case OpClass::positions:
      return replay_positions(model, in, site);
    case OpClass::mask:
      return replay_mask(model, in, site);
    case OpClass::inv_freq:
      return replay_inv_freq(model, in, site);
    case OpClass::cos_sin:
      return replay_cos_sin(model, in, site);
    case OpClass::embedding:
      return replay_embedding(model, in, site);
    case OpClass::rms_norm:
      return replay_rms_norm(model, in, site);
    case OpClass::linear:
      return replay_linear(model, in, site);
    case OpClass::rope:
      return replay_rope(model, in, site);
    case OpClass::cache_update:
      return replay_cache_update(model, in, site);
    case OpClass::scores:
      return replay_scores(model, in, site);
    case OpClass::softmax:
      return replay_softmax(model, in, site);
    case OpClass::context:
      return replay_context(model, in, site);
    case OpClass::fused_attention:
      return replay_fused_attention(model, in, site);
    case OpClass::residual:
      return replay_residual(model, in, site);
    case OpClass::silu_mul:
      return replay_silu_mul(model, in, site);
    default:
      throw InternalError("no replay of " + std::string(op_class_name(op)));
  }
}

class ReferenceReplayer final : public Replayer {
 public:
  ReferenceReplayer(ModelConfig config, std::shared_ptr<const Weights> weights, DType storage)
      : config_(std::move(config)),
        storage_(storage),
        weights_(std::move(weights)),
        sites_(forward_sites(static_cast<int>(config_.num_hidden_layers), layers_differ(config_))) {}

  const ModelConfig& config() const override { return config_; }
  const std::string& weight_hash() const override { return weights_->hash(); }
  std::span<const OpSite> sites() const override { return sites_; }

  std::optional<Replay> replay(OpSite site, const RecordedStep& step, DType storage,
                               std::string& why) const override {
    require(storage == storage_, "replay: a replayer is made for one storage dtype");
    require(probe_spec(site.probe).scope != ProbeScope::sample, "replay: sampling is no forward site");
    require(site.layer < config_.num_hidden_layers, "replay: the model has no such layer");
    // Ops are replayed side by side, each on its own thread.
    if (at::get_num_threads() != 1) at::set_num_threads(1);
    try {
      return in_torch([&] {
        const ReplayModel model{config_, derive(config_), *weights_, storage_};
        const Recorded in(config_, *weights_, step, storage_);
        const OpClass op = judged_as(site, step);
        Replay replay = dispatch(model, in, site, op);
        const double unit = unit_of(model, in, op);
        if (unit != 1.0 && !replay.bound.empty()) {
          for (double& bound : replay.bound.values<double>()) bound *= unit;
        }
        return replay;
      });
    } catch (const NotReplayable& missing) {
      why = missing.what();
      return std::nullopt;
    }
  }

  std::vector<Suspect> suspects(OpSite site, const RecordedStep& step, DType storage) const override {
    require(storage == storage_, "suspects: a replayer is made for one storage dtype");
    const auto scene = std::make_shared<const Scene>(Scene{{config_, derive(config_), *weights_, storage_},
                                                           Recorded(config_, *weights_, step, storage_),
                                                           site,
                                                           step.find(site)});
    return suspects_for(scene, judged_as(site, step));
  }

  OpClass judged_as(OpSite site, const RecordedStep& step) const override {
    return is_fused(site, step) ? OpClass::fused_attention : probe_spec(site.probe).op;
  }

 private:
  ModelConfig config_;
  DType storage_;
  std::shared_ptr<const Weights> weights_;
  std::vector<OpSite> sites_;
};

}  // namespace

std::unique_ptr<Replayer> replayer_over(ModelConfig config, std::shared_ptr<const Weights> weights,
                                        DType storage) {
  if (!is_floating(storage)) {
    throw Error("cannot replay " + std::string(dtype_name(storage)) + " storage", "replay",
                "f32, f64, bf16 or f16");
  }
  return std::make_unique<ReferenceReplayer>(std::move(config), std::move(weights), storage);
}

std::unique_ptr<Replayer> make_replayer(const std::filesystem::path& directory, DType storage, Hold hold) {
  return make_referee(directory, storage, hold).replayer;
}

int replays_within(const ModelConfig& config, std::int64_t tokens, std::int64_t bytes) {
  constexpr std::int64_t kDouble = 8;
  constexpr std::int64_t kBoundsOfWeights = 128 << 20;  // a block of them scaled, and squared
  const DerivedArchitecture sizes = derive(config);
  const std::int64_t attention = 2 * config.hidden_size * (sizes.query_dim + sizes.key_value_dim);
  const std::int64_t mlp = config.hidden_size * config.intermediate_size;
  const std::int64_t layer = kDouble * (attention + 3 * mlp);
  const std::int64_t weight =
      kDouble * std::max({mlp, config.hidden_size * sizes.query_dim, kHeadRows * config.hidden_size});
  const std::int64_t outputs = 3 * kDouble * tokens * std::max(config.vocab_size, config.intermediate_size);
  const std::int64_t fitting = (bytes - layer) / (weight + kBoundsOfWeights + outputs);
  return static_cast<int>(std::clamp<std::int64_t>(fitting, 1, 1 << 16));
}

Referee make_referee(const std::filesystem::path& directory, DType storage, Hold hold) {
  const ModelConfig config = load_config(directory);
  const auto weights = std::make_shared<const Weights>(directory, config, storage, DType::f64, hold);
  return {engine_over(config, weights, {DType::f64, 1}), replayer_over(config, weights, storage)};
}

}  // namespace plumbline::reference
