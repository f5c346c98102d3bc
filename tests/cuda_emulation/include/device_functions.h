// What CUDA's C++ has in device code, emulated on the host: words of the language, coordinates, barriers,
// warp collectives and atomics. Threads of a block are fibers of one thread of the host
// (tests/cuda_emulation/block.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <device_intrinsics.h>
#include <vector_types.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__  // only as `extern __shared__ __align__(16) unsigned char plumbline_shared_memory[];`
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __forceinline__ inline __attribute__((always_inline))

// Set at every switch of threads; one thread of the host at a time runs device code.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

// Device code's dynamic shared memory: 0xFF bytes before every block. See impl/cuda/device.cuh.
namespace plumbline::native::cuda {
extern unsigned char plumbline_shared_memory[256 * 1024] __attribute__((aligned(128)));
}

namespace plumbline::cuda_emulation {
enum class Collective : unsigned char {
  none,
  syncwarp,
  index,
  up,
  down,
  exclusive_or,
  ballot,
  any,
  all,
  match
};
std::uint64_t collective(Collective kind, unsigned mask, std::uint64_t value, unsigned parameter, int width,
                         unsigned size);
void trap();

template <typename T>
T shuffle(Collective kind, unsigned mask, T value, unsigned parameter, int width) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "shuffles move 4 or 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = collective(kind, mask, bits, parameter, width, sizeof(T));
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
}  // namespace plumbline::cuda_emulation

void __syncthreads();
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  plumbline::cuda_emulation::collective(plumbline::cuda_emulation::Collective::syncwarp, mask, 0, 0, 32, 0);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize) {
  using plumbline::cuda_emulation::Collective;
  return plumbline::cuda_emulation::shuffle(Collective::index, mask, value, static_cast<unsigned>(lane),
                                            width);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  return plumbline::cuda_emulation::shuffle(plumbline::cuda_emulation::Collective::up, mask, value, delta,
                                            width);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  return plumbline::cuda_emulation::shuffle(plumbline::cuda_emulation::Collective::down, mask, value, delta,
                                            width);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize) {
  using plumbline::cuda_emulation::Collective;
  return plumbline::cuda_emulation::shuffle(Collective::exclusive_or, mask, value,
                                            static_cast<unsigned>(lanes), width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  using plumbline::cuda_emulation::Collective;
  return static_cast<unsigned>(
      plumbline::cuda_emulation::collective(Collective::ballot, mask, predicate != 0, 0, 32, 0));
}
inline int __any_sync(unsigned mask, int predicate) {
  using plumbline::cuda_emulation::Collective;
  return plumbline::cuda_emulation::collective(Collective::any, mask, predicate != 0, 0, 32, 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  using plumbline::cuda_emulation::Collective;
  return plumbline::cuda_emulation::collective(Collective::all, mask, predicate != 0, 0, 32, 0) != 0;
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __trap() {
  plumbline::cuda_emulation::trap();
}

// Atomics: one thread runs at a time, and switches happen in barriers and collectives only.
template <typename T>
T atomicExch(T* address, T value) {
  const T old = *address;
  *address = value;
  return old;
}
template <typename T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, static_cast<T>(*address + value));
}
template <typename T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, *address < value ? value : *address);
}
template <typename T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, value < *address ? value : *address);
}
template <typename T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, static_cast<T>(*address | value));
}
template <typename T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return atomicExch(address, static_cast<T>(*address & value));
}
template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  return atomicExch(address, *address == compare ? value : *address);
}
