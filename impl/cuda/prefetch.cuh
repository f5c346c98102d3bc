// Ways to memory that C++ has no words for; for .cu files. Elsewhere than on a device hints are plain reads.
#pragma once

#include <cuda_pipeline.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace plumbline::native::cuda {

// 16 bytes of a weight, which nobody writes while the kernel runs and which the block reads once: past the L1
// cache. In the order of the program among barriers, so that what is asked for before one is on its way.
template <typename Pack>
__device__ __forceinline__ Pack read_weights(const Pack* from) {
  static_assert(sizeof(Pack) == 16);
#ifdef __CUDA_ARCH__
  Pack pack;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(pack.words[0]), "=r"(pack.words[1]), "=r"(pack.words[2]), "=r"(pack.words[3])
               : "l"(from));
  return pack;
#else
  return *from;
#endif
}

// Asks for what lies around `address` to be brought into the L2 cache. A hint: nothing waits for it.
__device__ __forceinline__ void prefetch(const void* address) {
#ifdef __CUDA_ARCH__
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
#else
  static_cast<void>(
      *static_cast<const volatile unsigned char*>(address));  // a sanitizer sees what is not there
#endif
}
// Asks for `bytes` from `from` on to be brought into the L2 cache; all lanes of a warp call it together. Both
// are multiples of 16. A hint: nothing waits for it.
__device__ __forceinline__ void prefetch(const void* from, std::uint32_t bytes, int lane) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (lane == 0) asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes));
#elif defined(__CUDA_ARCH__)
  constexpr std::uint32_t kSectors = 64;                      // bytes that one request brings, at least
  const auto* address = static_cast<const unsigned char*>(from);
  for (std::uint32_t at = static_cast<std::uint32_t>(lane) * kSectors; at < bytes; at += 32 * kSectors) {
    prefetch(address + at);
  }
#else
  // The first and the last byte, so that a sanitizer sees what is not there.
  const auto* address = static_cast<const volatile unsigned char*>(from);
  if (lane == 0) static_cast<void>(address[0] + address[bytes - 1]);
#endif
}

// 16 bytes into shared memory, without waiting and without registers; both addresses are multiples of 16. The
// thread sees them after wait_for_copies(), the block after a barrier behind that.
__device__ __forceinline__ void copy_to_shared(void* to, const void* from) {
  __pipeline_memcpy_async(to, from, 16);
}
__device__ __forceinline__ void wait_for_copies() {
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

}  // namespace plumbline::native::cuda
