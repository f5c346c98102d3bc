#include "impl/cuda/engine.h"

#include <mutex>
#include <optional>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/batch.h"
#include "impl/cache.h"
#include "impl/cache/shape.h"
#include "impl/config.h"
#include "impl/cuda/attention/attention.h"
#include "impl/cuda/cache_memory.h"
#include "impl/cuda/device.h"
#include "impl/cuda/emitter.h"
#include "impl/cuda/forward.h"
#include "impl/cuda/sampling/sampler.h"
#include "impl/engine_number.h"
#include "impl/inverse_frequencies.h"
#include "impl/positions.h"
#include "impl/weights.h"

namespace plumbline::native {
namespace cuda {
namespace {

constexpr const char* kWhere = "cuda engine";

// Before anything is loaded.
DeviceInfo require_device(const CudaOptions& options) {
  if (options.storage != DType::f32 && options.storage != DType::bf16) {
    throw Error(fmt::format("storage dtype {} is not there", dtype_name(options.storage)), kWhere,
                "f32 or bf16");
  }
  return device_info();
}

ModelConfig supported(ModelConfig config) {
  if (config.head_dim > kLargestHeadDim) {
    throw Error(fmt::format("head_dim is {}", config.head_dim), kWhere,
                fmt::format("its attention takes up to {}", kLargestHeadDim));
  }
  return config;
}

Checkpoint open(const std::filesystem::path& directory, const ModelConfig& config) {
  Checkpoint checkpoint(directory);
  checkpoint.check(config);
  return checkpoint;
}

class CudaEngine final : public Engine {
 public:
  CudaEngine(const std::filesystem::path& directory, const CudaOptions& options);

  const EngineInfo& info() const override { return info_; }
  const ModelConfig& config() const override { return config_; }
  const std::string& weight_hash() const override {
    std::call_once(hash_once_, [&] { hash_ = checkpoint_.weight_hash(); });
    return hash_;
  }
  std::unique_ptr<Cache> make_cache(const CacheSpec& spec) const override;
  Logits forward(std::span<const SequenceStep> steps, Cache& cache, ProbeSink& sink) override;
  std::shared_ptr<Sampler> device_sampler(std::uint64_t seed) const override {
    return make_device_sampler(stream_.get(), seed);
  }
  Tensor to_host(const TensorView& view) override;
  void synchronize() override { wait(stream_.get()); }

 private:
  const std::uint64_t number_ = next_engine_number();
  const DeviceInfo device_;
  const CudaOptions options_;
  ModelConfig config_;
  DerivedArchitecture derived_;
  Checkpoint checkpoint_;
  StreamOwner stream_;
  ModelWeights weights_;
  std::vector<float> inv_freq_;
  std::vector<OpSite> sites_;
  std::shared_ptr<CacheMemory> cache_memory_;
  std::optional<MatmulLibrary> library_;
  Workspace workspace_;
  StepTables tables_;
  Graphs graphs_;
  std::optional<DecodeStep> decode_step_;
  EngineInfo info_;
  mutable std::once_flag hash_once_;
  mutable std::string hash_;
};

CudaEngine::CudaEngine(const std::filesystem::path& directory, const CudaOptions& options)
    : device_(require_device(options)),
      options_(options),
      config_(supported(load_config(directory))),
      derived_(derive(config_)),
      checkpoint_(open(directory, config_)),
      weights_(stream_.get(), checkpoint_, config_, options.storage),
      inv_freq_(inverse_frequencies(config_)),
      cache_memory_(make_cache_memory(stream_.get())) {
  const int layers = static_cast<int>(config_.num_hidden_layers);
  sites_ = forward_sites(layers, false);
  const bool library_serves = options.matmul == CudaMatmul::automatic && options.storage == DType::bf16;
  if (library_serves && MatmulLibrary::problem().empty()) library_.emplace();
  if (options.decode == CudaDecode::automatic) {
    decode_step_.emplace(stream_.get(), config_, derived_, weights_, options.storage);
  }
  info_.name = "native-cuda";
  info_.device = {DeviceKind::cuda, 0};
  info_.isa = fmt::format("sm_{} ({})", device_.architecture, device_.name);
  info_.storage = options.storage;
  info_.one_order = !library_.has_value();
  if (info_.storage != DType::f32) {
    info_.precision = {.rotary = DType::f32, .scores = DType::f32, .probs = DType::f32};
  }
}

std::unique_ptr<Cache> CudaEngine::make_cache(const CacheSpec& spec) const {
  if (spec.dtype == DType::f16) throw Error("does not store f16", "cuda cache", "f32 or bf16");
  return make_native_cache(spec, cache_shape(config_), number_, cache_memory_);
}

Logits CudaEngine::forward(std::span<const SequenceStep> steps, Cache& cache, ProbeSink& sink) {
  auto* own = dynamic_cast<NativeCache*>(&cache);
  if (own == nullptr || own->engine() != number_) {
    throw Error("the cache was made by another engine", "forward");
  }
  const Batch batch = make_batch(steps, *own, config_.vocab_size);
  std::vector<CacheGrowth> growth;
  for (const BatchStep& step : batch.steps) {
    check_positions(step.positions, "rotary angles");
    growth.push_back({step.sequence, step.rows});
  }
  CacheTransaction transaction(*own, growth);
  const Model model{config_, derived_, weights_, inv_freq_, options_.storage, sites_};
  const DeviceState state{stream_.get(),
                          workspace_,
                          tables_,
                          options_.decode == CudaDecode::launches ? nullptr : &graphs_,
                          decode_step_ ? &*decode_step_ : nullptr,
                          library_ ? &*library_ : nullptr};
  cuda::forward(model, state, batch, *own, sink);
  transaction.commit();

  Logits logits;
  for (const BatchStep& step : batch.steps) {
    logits.steps.push_back(
        device_view(workspace_.logits.as<float>() + step.first_logit_row * config_.vocab_size, DType::f32,
                    {step.logit_rows, config_.vocab_size}));
  }
  return logits;
}

Tensor CudaEngine::to_host(const TensorView& view) {
  if (view.device.kind == DeviceKind::cpu) return copy_host(view);
  require(view.is_contiguous(), "cuda to_host: the view is not contiguous");
  Tensor copy(view.dtype, view.shape);
  copy_to_host(stream_.get(), copy.mutable_view().mutable_data, view.data, copy.bytes().size());
  return copy;
}

}  // namespace
}  // namespace cuda

bool cuda_compiled() {
  return true;
}

std::string cuda_device_problem() {
  return cuda::device_problem();
}

std::unique_ptr<Engine> make_cuda_engine(const std::filesystem::path& directory, const CudaOptions& options) {
  return std::make_unique<cuda::CudaEngine>(directory, options);
}

}  // namespace plumbline::native
