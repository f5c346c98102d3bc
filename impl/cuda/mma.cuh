// One step of the tensor cores, of compute capability 8.0 and newer; for .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#if defined(PLUMBLINE_CUDA_EMULATION)
#include <plumbline_mma.h>
#endif

namespace plumbline::native::cuda {

inline constexpr int kMmaRows = 16;      // of a and d
inline constexpr int kMmaColumns = 8;    // of b and d
inline constexpr int kMmaDepth = 16;     // terms of each sum
inline constexpr int kMmaQuadLanes = 4;  // lanes that share a row of a and d, and a column of b

// d += a b, of bf16 pairs (the lower half of a word is the first) and f32 sums. All 32 lanes call it; lane l,
// with g = l / 4 and t = l % 4, holds (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type")
//
//   a[0]: row g,     columns 2t, 2t + 1      a[1]: row g + 8, columns 2t, 2t + 1
//   a[2]: row g,     columns 2t + 8, 2t + 9  a[3]: row g + 8, columns 2t + 8, 2t + 9
//   b[0]: column g,  rows 2t, 2t + 1         b[1]: column g,  rows 2t + 8, 2t + 9
//   d[0], d[1]: row g, columns 2t, 2t + 1    d[2], d[3]: row g + 8, columns 2t, 2t + 1
//
// How the 17 terms of a sum are added is the hardware's: products are exact, the sum is cut off and not
// rounded. A row of d depends on its row of a, a column on its column of b, and on no others.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4],
                                         const std::uint32_t (&b)[2]) {
#if defined(PLUMBLINE_CUDA_EMULATION)
  cuda_emulation::mma_m16n8k16_bf16(d, a, b);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

}  // namespace plumbline::native::cuda
