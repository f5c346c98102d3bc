#include "impl/cuda/cache_memory.h"

#include <cuda_runtime_api.h>

#include <utility>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/cache/copy_plan.h"
#include "impl/cuda/memory.h"

namespace plumbline::native::cuda {
namespace {

// The pitch of a copy of rows is an int (cudaDevAttrMaxPitch).
constexpr std::size_t kLargestPitch = (std::size_t{1} << 31) - 1;

class DeviceBlock final : public MemoryBlock {
 public:
  explicit DeviceBlock(void* memory) : MemoryBlock(static_cast<std::byte*>(memory)) {}
  // It waits for the work that uses the memory. Nobody is left to tell of a failure.
  ~DeviceBlock() override { static_cast<void>(cudaFree(data())); }
};

cudaMemcpyKind kind_of(CopyWay way) {
  if (way == CopyWay::within) return cudaMemcpyDeviceToDevice;
  return way == CopyWay::to_host ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice;
}

class DeviceMemory final : public CacheMemory {
 public:
  explicit DeviceMemory(Stream stream) : stream_(stream) {}

  std::unique_ptr<MemoryBlock> allocate(std::size_t bytes) override {
    void* memory = nullptr;
    if (bytes == 0) return std::make_unique<DeviceBlock>(memory);
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());  // told here, and not by the next launch too
      throw Error(fmt::format("needs {} bytes of device memory, {} are free", bytes, free_memory()),
                  "native cache", "a shorter cache or bf16 need less");
    }
    check(status, "cudaMalloc");
    return std::make_unique<DeviceBlock>(memory);
  }

  void zero(std::byte* data, std::size_t bytes) override {
    if (bytes > 0) check(cudaMemsetAsync(data, 0, bytes, stream_), "cudaMemsetAsync");
  }
  bool on_host() const override { return false; }
  MemoryLimit limit() const override {
    const std::size_t free = free_memory();
    return {static_cast<double>(free), fmt::format("the device has {} free", free)};
  }

 private:
  void copy(const RunFormat& format, const StoredRun& to, const StoredRun& from, CachePart part,
            CopyWay way) override {
    CopyPlan plan = plan_copy(format, to, from, part);
    // One call for all pieces of the longer axis.
    if (plan.outer.count > plan.inner.count) std::swap(plan.outer, plan.inner);
    const cudaError_t status = queue(plan, kind_of(way));
    // Whatever was queued still uses the host's memory.
    if (status != cudaSuccess && way != CopyWay::within) static_cast<void>(cudaStreamSynchronize(stream_));
    check(status, "a copy of a cache's rows");
    if (way != CopyWay::within) wait(stream_);
  }

  cudaError_t queue(const CopyPlan& plan, cudaMemcpyKind kind) {
    cudaError_t status = cudaSuccess;
    for (std::size_t i = 0; i < plan.outer.count && status == cudaSuccess; ++i) {
      status = queue_rows(plan.to + i * plan.outer.to_stride, plan.from + i * plan.outer.from_stride,
                          plan.inner, plan.piece, kind);
    }
    return status;
  }

  cudaError_t queue_rows(std::byte* to, const std::byte* from, const CopyAxis& rows, std::size_t width,
                         cudaMemcpyKind kind) {
    if (rows.count > 1 && rows.to_stride <= kLargestPitch && rows.from_stride <= kLargestPitch) {
      return cudaMemcpy2DAsync(to, rows.to_stride, from, rows.from_stride, width, rows.count, kind, stream_);
    }
    cudaError_t status = cudaSuccess;
    for (std::size_t i = 0; i < rows.count && status == cudaSuccess; ++i) {
      status = cudaMemcpyAsync(to + i * rows.to_stride, from + i * rows.from_stride, width, kind, stream_);
    }
    return status;
  }

  Stream stream_;
};

}  // namespace

std::shared_ptr<CacheMemory> make_cache_memory(Stream stream) {
  return std::make_shared<DeviceMemory>(stream);
}

}  // namespace plumbline::native::cuda
