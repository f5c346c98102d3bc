#include "impl/cuda/engine.h"

#include <cuda_runtime_api.h>

#include <utility>

#include "harness/error.h"
#include "impl/cpu/engine.h"
#include "impl/cuda/memory.h"
#include "impl/cuda/residual.h"
#include "impl/cuda/residual_sink.h"

namespace plumbline::native {
namespace {

constexpr int kDevice = 0;

std::string architecture() {
  int major = 0;
  int minor = 0;
  cuda_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, kDevice),
             "cudaDeviceGetAttribute");
  cuda_check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, kDevice),
             "cudaDeviceGetAttribute");
  return "sm_" + std::to_string(major) + std::to_string(minor);
}

class CudaEngine final : public Engine {
 public:
  explicit CudaEngine(const std::filesystem::path& directory)
      : cpu_(make_cpu_engine(directory, {})), info_(cpu_->info()) {
    cuda_check(cudaSetDevice(kDevice), "cudaSetDevice");
    info_.name = "native-cuda (residual only)";
    info_.device = {DeviceKind::cuda, kDevice};
    info_.isa = architecture();
  }

  const EngineInfo& info() const override { return info_; }
  const ModelConfig& config() const override { return cpu_->config(); }
  const std::string& weight_hash() const override { return cpu_->weight_hash(); }
  std::unique_ptr<Cache> make_cache(const CacheSpec& spec) const override { return cpu_->make_cache(spec); }

  Logits forward(std::span<const SequenceStep> steps, Cache& cache, ProbeSink& sink) override {
    ResidualSink on_device(sink, info_.device);
    return cpu_->forward(steps, cache, on_device);
  }

  Tensor to_host(const TensorView& view) override {
    if (view.device.kind == DeviceKind::cpu) return cpu_->to_host(view);
    require(view.is_contiguous(), "cuda to_host: the view is not contiguous");
    synchronize();
    Tensor copy(view.dtype, view.shape);
    cuda_check(
        cudaMemcpy(copy.mutable_view().mutable_data, view.data, copy.bytes().size(), cudaMemcpyDeviceToHost),
        "cudaMemcpy from the device");
    return copy;
  }

  void synchronize() override { cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

 private:
  std::unique_ptr<Engine> cpu_;
  EngineInfo info_;
};

}  // namespace

bool cuda_compiled() {
  return true;
}

std::string cuda_device_problem() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess) return cudaGetErrorString(status);
  if (devices == 0) return "no CUDA device is there";
  try {
    cuda_check_kernels();
  } catch (const Error& problem) {
    return problem.what();
  }
  return {};
}

std::unique_ptr<Engine> make_cuda_engine(const std::filesystem::path& directory) {
  if (const std::string problem = cuda_device_problem(); !problem.empty()) {
    throw Error("no usable CUDA device: " + problem, "cuda engine");
  }
  return std::make_unique<CudaEngine>(directory);
}

}  // namespace plumbline::native
