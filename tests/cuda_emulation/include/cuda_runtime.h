// The C++ side of CUDA, emulated on the host for tests: words of the language, and launches. Kernels are
// plain functions.
#pragma once

#include <cuda_runtime_api.h>
#include <device_functions.h>

#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace plumbline::cuda_emulation {

// What a launch hands to the emulation.
struct KernelCall {
  const void* function = nullptr;
  std::function<void()> thread;       // calls the kernel once, as the current thread
  std::vector<const void*> pointers;  // its arguments that are pointers
};
cudaError_t launch(const cudaLaunchConfig_t* configuration, KernelCall call);

template <typename T>
void collect_pointer(std::vector<const void*>* pointers, const T& argument) {
  if constexpr (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>) {
    if (argument != nullptr)
      pointers->push_back(const_cast<const void*>(static_cast<const volatile void*>(argument)));
  }
}

}  // namespace plumbline::cuda_emulation

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* configuration, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...),
                "a kernel's arguments are copied as bytes");
  static_assert((!std::is_reference_v<Parameters> && ...), "a kernel's arguments are values");
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "a kernel's arguments have 4 KiB");
  plumbline::cuda_emulation::KernelCall call;
  const std::tuple<Parameters...> values(Parameters(std::forward<Arguments>(arguments))...);
  std::apply(
      [&](const auto&... value) { (plumbline::cuda_emulation::collect_pointer(&call.pointers, value), ...); },
      values);
  call.function = reinterpret_cast<const void*>(kernel);
  call.thread = [kernel, values] { std::apply(kernel, values); };
  return plumbline::cuda_emulation::launch(configuration, std::move(call));
}

template <typename R, typename... Parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, R (*kernel)(Parameters...)) {
  return cudaFuncGetAttributes(attributes, reinterpret_cast<const void*>(kernel));
}
template <typename R, typename... Parameters>
cudaError_t cudaFuncSetAttribute(R (*kernel)(Parameters...), cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <typename R, typename... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, R (*kernel)(Parameters...),
                                                          int block_size, std::size_t dynamic_shared_bytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, reinterpret_cast<const void*>(kernel),
                                                       block_size, dynamic_shared_bytes);
}

template <typename T>
cudaError_t cudaMalloc(T** pointer, std::size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
template <typename T>
cudaError_t cudaMallocHost(T** pointer, std::size_t bytes, unsigned flags = cudaHostAllocDefault) {
  return cudaHostAlloc(reinterpret_cast<void**>(pointer), bytes, flags);
}
template <typename T>
cudaError_t cudaHostAlloc(T** pointer, std::size_t bytes, unsigned flags) {
  return cudaHostAlloc(reinterpret_cast<void**>(pointer), bytes, flags);
}
