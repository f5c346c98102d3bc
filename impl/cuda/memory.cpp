#include "impl/cuda/memory.h"

#include <cuda_runtime_api.h>

#include <string>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/cuda/last_launch.h"

namespace plumbline::native::cuda {
namespace {

// Nobody is left to tell: a failure while something is given back is one that an earlier call has reported.
void ignore(cudaError_t) {}

}  // namespace

void check(int status, const char* call) {
  if (status == static_cast<int>(cudaSuccess)) return;
  const auto error = static_cast<cudaError_t>(status);
  ignore(cudaGetLastError());  // told here, and not by the next launch too
  throw Error(fmt::format("{} failed: {}", call, cudaGetErrorString(error)), "cuda");
}

StreamOwner::StreamOwner() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

StreamOwner::~StreamOwner() {
  ignore(cudaStreamDestroy(stream_));
}

void wait(Stream stream) {
  const cudaError_t status = cudaStreamSynchronize(stream);
  if (status == cudaSuccess) return;
  ignore(cudaGetLastError());
  throw Error(fmt::format("the device stopped: {}; the last kernel launched was {}",
                          cudaGetErrorString(status), last_launch()),
              "cuda", "CUDA_LAUNCH_BLOCKING=1 tells which launch it was");
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) ignore(cudaFree(data_));
}

bool DeviceBuffer::reserve(std::size_t bytes, std::string_view what) {
  if (bytes <= bytes_) return false;
  if (data_ != nullptr) check(cudaFree(data_), "cudaFree");
  data_ = nullptr;
  bytes_ = 0;
  const cudaError_t status = cudaMalloc(&data_, bytes);
  if (status == cudaErrorMemoryAllocation) {
    ignore(cudaGetLastError());
    data_ = nullptr;
    throw Error(fmt::format("{} need {} bytes of device memory, {} are free", what, bytes, free_memory()),
                "cuda", "fewer tokens at a time, a shorter cache or bf16 need less");
  }
  check(status, "cudaMalloc");
  bytes_ = bytes;
  return true;
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) ignore(cudaFreeHost(data_));
}

void PinnedBuffer::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  if (data_ != nullptr) check(cudaFreeHost(data_), "cudaFreeHost");
  data_ = nullptr;
  bytes_ = 0;
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes), "cudaMallocHost");
  data_ = static_cast<std::byte*>(memory);
  bytes_ = bytes;
}

void copy_to_host(Stream stream, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync to the host");
  wait(stream);
}

void copy_to_device(Stream stream, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync to the device");
  wait(stream);
}

std::size_t free_memory() {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

}  // namespace plumbline::native::cuda
