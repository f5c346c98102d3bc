#include "impl/cpu/engine.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/batch.h"
#include "impl/cache.h"
#include "impl/cache/shape.h"
#include "impl/config.h"
#include "impl/cpu/forward.h"
#include "impl/cpu/model_weights.h"
#include "impl/engine_number.h"
#include "impl/inverse_frequencies.h"
#include "impl/weights.h"

namespace plumbline::native {
namespace {

int thread_count(int asked) {
  constexpr int kMaxThreads = 1024;
  if (asked < 0 || asked > kMaxThreads) {
    throw Error(fmt::format("{} threads", asked), "cpu engine", fmt::format("0 (all) to {}", kMaxThreads));
  }
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return asked > 0 ? asked : std::max(cores, 1);
}

class CpuEngine final : public Engine {
 public:
  CpuEngine(const std::filesystem::path& directory, const CpuOptions& options)
      : kernels_(kernels_for(options.isa)),
        pool_(thread_count(options.threads)),
        config_(load_config(directory)),
        derived_(derive(config_)),
        checkpoint_(open(directory, config_)),
        weights_(checkpoint_, config_, options.storage),
        inv_freq_(inverse_frequencies(config_)) {
    info_.name = "native-cpu";
    info_.isa = kernels_.name;
    info_.threads = pool_.threads();
    info_.storage = options.storage;
    if (info_.storage != DType::f32) {
      info_.precision = {.rotary = DType::f32, .scores = DType::f32, .probs = DType::f32};
    }
  }

  const EngineInfo& info() const override { return info_; }
  const ModelConfig& config() const override { return config_; }
  const std::string& weight_hash() const override {
    std::call_once(hash_once_, [&] { hash_ = checkpoint_.weight_hash(); });
    return hash_;
  }
  std::unique_ptr<Cache> make_cache(const CacheSpec& spec) const override {
    return make_native_cache(spec, cache_shape(config_), number_);
  }
  Logits forward(std::span<const SequenceStep> steps, Cache& cache, ProbeSink& sink) override;
  Tensor to_host(const TensorView& view) override { return copy_host(view); }
  void synchronize() override {}

 private:
  static Checkpoint open(const std::filesystem::path& directory, const ModelConfig& config) {
    Checkpoint checkpoint(directory);
    checkpoint.check(config);
    return checkpoint;
  }

  const std::uint64_t number_ = next_engine_number();
  const Kernels& kernels_;
  ThreadPool pool_;
  ModelConfig config_;
  DerivedArchitecture derived_;
  Checkpoint checkpoint_;
  ModelWeights weights_;
  std::vector<float> inv_freq_;
  Workspace workspace_;
  EngineInfo info_;
  mutable std::once_flag hash_once_;
  mutable std::string hash_;
};

Logits CpuEngine::forward(std::span<const SequenceStep> steps, Cache& cache, ProbeSink& sink) {
  auto* own = dynamic_cast<NativeCache*>(&cache);
  if (own == nullptr || own->engine() != number_) {
    throw Error("the cache was made by another engine", "forward");
  }
  const Batch batch = make_batch(steps, *own, config_.vocab_size);
  std::vector<CacheGrowth> growth;
  for (const BatchStep& step : batch.steps) growth.push_back({step.sequence, step.rows});

  CacheTransaction transaction(*own, growth);
  const CpuContext context{kernels_, pool_, info_.storage};
  native::forward(context, {config_, derived_, weights_, inv_freq_, info_.precision}, batch, *own, sink,
                  workspace_);
  transaction.commit();

  Logits logits;
  for (const BatchStep& step : batch.steps) {
    logits.steps.emplace_back(workspace_.logits.data() + step.first_logit_row * config_.vocab_size,
                              DType::f32, Shape{step.logit_rows, config_.vocab_size});
  }
  return logits;
}

}  // namespace

std::unique_ptr<Engine> make_cpu_engine(const std::filesystem::path& directory, const CpuOptions& options) {
  const DType storage = options.storage;
  if (storage != DType::f32 && storage != DType::bf16 && storage != DType::f16) {
    throw Error(fmt::format("storage dtype {} is not there", dtype_name(storage)), "cpu engine",
                "f32, bf16 or f16");
  }
  return std::make_unique<CpuEngine>(directory, options);
}

}  // namespace plumbline::native
