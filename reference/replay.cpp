#include "reference/replay.h"

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
        return dispatch(model, Recorded(config_, *weights_, step, storage_), site, judged_as(site, step));
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

std::unique_ptr<Replayer> make_replayer(const std::filesystem::path& directory, DType storage) {
  return make_referee(directory, storage).replayer;
}

Referee make_referee(const std::filesystem::path& directory, DType storage) {
  const ModelConfig config = load_config(directory);
  const auto weights = std::make_shared<const Weights>(directory, config, storage, DType::f64);
  return {engine_over(config, weights, {DType::f64, 1}), replayer_over(config, weights, storage)};
}

}  // namespace plumbline::reference
