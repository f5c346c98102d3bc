#include "reference/engine.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>

#include "reference/config.h"
#include "reference/internal/convert_torch.h"
#include "reference/internal/device_torch.h"
#include "reference/internal/engine_torch.h"
#include "reference/internal/forward_torch.h"
#include "reference/internal/guard_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/rope.h"

namespace plumbline::reference {
namespace {

constexpr std::int64_t kMostSequences = 65536;
constexpr const char* kName = "reference engine";

void check_step(const SequenceStep& step, const HistoryCache& cache, std::int64_t vocab_size) {
  const std::int64_t past = cache.history(step.sequence).length();  // refuses an unknown sequence
  const std::string where = std::string(kName) + ": sequence " + std::to_string(step.sequence);
  if (step.tokens.empty()) throw Error("the step has no tokens", where);
  if (step.positions.size() != step.tokens.size()) {
    throw Error(std::to_string(step.positions.size()) + " positions for " +
                    std::to_string(step.tokens.size()) + " tokens",
                where);
  }
  for (const TokenId token : step.tokens) {
    if (!(token >= 0 && token < vocab_size)) {
      throw Error(
          "token " + std::to_string(token) + " is outside the vocabulary of " + std::to_string(vocab_size),
          where);
    }
  }
  for (const std::int64_t position : step.positions) {
    if (position < 0) throw Error("position " + std::to_string(position) + " is negative", where);
    if (position > kLargestPosition) {
      throw Error("position " + std::to_string(position) + " is beyond " + std::to_string(kLargestPosition),
                  where, "f32 merges neighbours from there on");
    }
  }
  const std::int64_t capacity = cache.spec().capacity;
  const std::int64_t needed = past + static_cast<std::int64_t>(step.tokens.size());
  if (capacity > 0 && needed > capacity) {
    throw Error(std::to_string(needed) + " tokens exceed the cache's capacity of " + std::to_string(capacity),
                where);
  }
}

// Half types: LibTorch's products accumulate in f32, and its elementary operations round each.
EngineInfo info_of(const EngineOptions& options) {
  const bool half = options.dtype == DType::bf16 || options.dtype == DType::f16;
  EngineInfo info{"reference",
                  options.device,
                  options.dtype,
                  half ? DType::f32 : options.dtype,
                  "libtorch",
                  options.threads,
                  {}};
  info.one_order = options.device.kind == DeviceKind::cpu;  // of a GPU's products nobody has measured it
  if (half) info.precision = {options.dtype, options.dtype, options.dtype, Rounding::each};
  return info;
}

class ReferenceEngine final : public Engine {
 public:
  ReferenceEngine(ModelConfig config, std::shared_ptr<const Weights> weights, const EngineOptions& options)
      : config_(std::move(config)),
        weights_(std::move(weights)),
        info_(info_of(options)),
        mark_(std::make_shared<const int>(0)) {}

  const EngineInfo& info() const override { return info_; }
  const ModelConfig& config() const override { return config_; }
  const std::string& weight_hash() const override { return weights_->hash(); }
  std::unique_ptr<Cache> make_cache(const CacheSpec& spec) const override;
  Logits forward(std::span<const SequenceStep> steps, Cache& cache, ProbeSink& sink) override;
  Tensor to_host(const TensorView& view) override { return copy_host(view); }
  void synchronize() override { reference::synchronize(weights_->device()); }

 private:
  HistoryCache& own(Cache& cache) const;

  ModelConfig config_;
  std::shared_ptr<const Weights> weights_;
  EngineInfo info_;
  EngineMark mark_;
  std::vector<at::Tensor> logits_;  // what the last forward's views point into
};

std::unique_ptr<Cache> ReferenceEngine::make_cache(const CacheSpec& spec) const {
  if (spec.dtype != info_.storage) {
    throw Error("stores no " + std::string(dtype_name(spec.dtype)) + " cache", kName,
                "its dtype is " + std::string(dtype_name(info_.storage)));
  }
  if (!(spec.max_sequences >= 1 && spec.max_sequences <= kMostSequences)) {
    throw Error("max_sequences is " + std::to_string(spec.max_sequences), kName,
                "1 to " + std::to_string(kMostSequences));
  }
  const bool capacity_fits = spec.capacity >= (spec.kind == CacheKind::fixed ? 1 : 0);
  if (!capacity_fits) throw Error("cache capacity is " + std::to_string(spec.capacity), kName);
  return std::make_unique<HistoryCache>(spec, mark_);
}

HistoryCache& ReferenceEngine::own(Cache& cache) const {
  auto* own = dynamic_cast<HistoryCache*>(&cache);
  if (own == nullptr || own->maker() != mark_) throw Error("the cache was made by another engine", kName);
  return *own;
}

Logits ReferenceEngine::forward(std::span<const SequenceStep> steps, Cache& any_cache, ProbeSink& sink) {
  HistoryCache& cache = own(any_cache);
  std::set<SequenceId> named;
  for (const SequenceStep& step : steps) {
    check_step(step, cache, config_.vocab_size);
    if (!named.insert(step.sequence).second) {
      throw Error("sequence " + std::to_string(step.sequence) + " is named twice", kName);
    }
  }
  if (at::get_num_threads() != info_.threads) at::set_num_threads(info_.threads);

  std::vector<History> histories;
  std::vector<at::Tensor> logits;
  for (const SequenceStep& step : steps) {
    const std::int64_t past = cache.length(step.sequence);
    histories.push_back(cache.extended(step.sequence, step.tokens, step.positions));
    logits.push_back(in_torch([&] {
      ForwardPass pass(config_, *weights_, info_.storage, step.sequence, past, sink);
      return ops::wide(pass.run(histories.back(), step.logits)).cpu();
    }));
  }

  // Nothing below throws: the cache changes only when every step has succeeded.
  logits_ = std::move(logits);
  Logits result;
  for (const at::Tensor& rows : logits_) result.steps.push_back(view_of(rows));
  for (std::size_t i = 0; i < steps.size(); ++i) cache.replace(steps[i].sequence, std::move(histories[i]));
  return result;
}

}  // namespace

std::unique_ptr<Engine> engine_over(ModelConfig config, std::shared_ptr<const Weights> weights,
                                    const EngineOptions& options) {
  return std::make_unique<ReferenceEngine>(std::move(config), std::move(weights), options);
}

std::unique_ptr<Engine> make_engine(const std::filesystem::path& directory, const EngineOptions& options) {
  if (!is_floating(options.dtype)) {
    throw Error("computes no " + std::string(dtype_name(options.dtype)), kName, "f32, f64, bf16 or f16");
  }
  if (options.threads < 1) throw Error("threads is " + std::to_string(options.threads), kName, "at least 1");
  const at::Device device = torch_device(options.device);
  ModelConfig config = load_config(directory);
  auto weights =
      std::make_shared<const Weights>(directory, config, options.dtype, options.dtype, options.hold, device);
  return engine_over(std::move(config), std::move(weights), options);
}

}  // namespace plumbline::reference
