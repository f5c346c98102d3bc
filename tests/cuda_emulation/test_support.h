// What the tests of the emulation share: launches in few words, and memory that goes with its scope.
#pragma once

#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/emulation.h"

namespace plumbline::native::cuda {

// As in impl/cuda/device.cuh.
template <typename T>
__device__ __forceinline__ T* emulated_shared_memory() {
  extern __shared__ __align__(16) unsigned char plumbline_shared_memory[];
  return reinterpret_cast<T*>(plumbline_shared_memory);
}

}  // namespace plumbline::native::cuda

namespace plumbline::cuda_emulation {

// A test's own device, whatever the environment asks for; and again as at the start of the program
// afterwards.
struct Fresh {
  Fresh() {
    reset();
    settings() = {};
  }
  ~Fresh() { reset(); }
};

struct Shape {
  dim3 grid{1}, block{1};
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};

template <typename... Parameters, typename... Arguments>
cudaError_t run(const Shape& shape, void (*kernel)(Parameters...), Arguments... arguments) {
  cudaLaunchConfig_t configuration{};
  configuration.gridDim = shape.grid;
  configuration.blockDim = shape.block;
  configuration.dynamicSmemBytes = shape.shared_bytes;
  configuration.stream = shape.stream;
  return cudaLaunchKernelEx(&configuration, kernel, arguments...);
}

template <typename... Parameters, typename... Arguments>
cudaError_t run_cooperative(const Shape& shape, void (*kernel)(Parameters...), Arguments... arguments) {
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t configuration{};
  configuration.gridDim = shape.grid;
  configuration.blockDim = shape.block;
  configuration.dynamicSmemBytes = shape.shared_bytes;
  configuration.stream = shape.stream;
  configuration.attrs = &cooperative;
  configuration.numAttrs = 1;
  return cudaLaunchKernelEx(&configuration, kernel, arguments...);
}

// What the launch did wrong, in words.
inline std::string failure_of(cudaError_t launched) {
  REQUIRE(launched == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  const std::string text = cudaGetErrorString(cudaErrorLaunchFailure);
  CHECK(text.find(failure()) != std::string::npos);
  return failure();
}

// Device memory of a fresh device: reset() frees it.
template <typename T>
T* on_device(std::size_t count) {
  T* data = nullptr;
  REQUIRE(cudaMalloc(&data, count * sizeof(T)) == cudaSuccess);
  return data;
}
template <typename T>
T* on_device(const std::vector<T>& values) {
  T* data = on_device<T>(values.size());
  REQUIRE(cudaMemcpy(data, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  return data;
}
template <typename T>
T* pinned(std::size_t count) {
  T* data = nullptr;
  REQUIRE(cudaMallocHost(&data, count * sizeof(T)) == cudaSuccess);
  return data;
}
template <typename T>
std::vector<T> from_device(const T* data, std::size_t count) {
  std::vector<T> values(count);
  REQUIRE(cudaMemcpy(values.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
  return values;
}
inline cudaStream_t new_stream(unsigned flags = cudaStreamNonBlocking) {
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, flags) == cudaSuccess);
  return stream;
}

// All orders that a test should try, as changes of the settings.
inline std::vector<std::pair<Order, unsigned>> all_orders() {
  return {{Order::ascending, 1}, {Order::descending, 1}, {Order::shuffled, 1}, {Order::shuffled, 2}};
}

// A device of so many multiprocessors, whose blocks and threads take turns in that order.
inline void set_device(int multiprocessors, const std::pair<Order, unsigned>& order) {
  settings().multiprocessors = multiprocessors;
  settings().order = order.first;
  settings().seed = order.second;
}

// Whether it ends a process of its own other than well: what AddressSanitizer does.
template <typename Act>
bool kills(const Act& act) {
  const pid_t child = fork();
  if (child == 0) {
    static_cast<void>(std::freopen("/dev/null", "w", stderr));
    act();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status != 0;
}

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

}  // namespace plumbline::cuda_emulation
