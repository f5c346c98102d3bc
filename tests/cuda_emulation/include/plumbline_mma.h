// The tensor cores' mma.m16n8k16 of bf16 with f32 sums, emulated on the host for impl/cuda/mma.cuh. Where its
// elements lie is PTX's ("Matrix Fragments for mma.m16n8k16 with floating point type").
//
// How sums are made is not documented by the maker. Here: two groups of eight products one after the other;
// of each group and the sum so far every term is cut off one bit below the last place of the largest, they
// are added exactly, and the sum is cut off to f32. So do an A100's, by what was published of experiments
// (Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021; Khattak and
// Mikaitis, "Accurate models of NVIDIA tensor cores", 2025); newer ones keep more. It is a stand-in of that
// kind, no device's bits.
#pragma once

#include <device_functions.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace plumbline::cuda_emulation {

struct MmaFragments {
  std::uint32_t a[4];
  std::uint32_t b[2];
};
inline MmaFragments mma_fragments[32][32];  // of each lane of each warp of the block

// Element `half` of a pair.
inline float mma_element(std::uint32_t pair, int half) {
  return std::bit_cast<float>(half == 0 ? pair << 16 : pair & 0xffff0000u);
}

// Of normal numbers; quicker than the library's.
inline int exponent_of(double value) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 52 & 0x7ffu) - 1023;
}
inline double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

// Toward zero; beyond the largest float an infinity.
inline float cut_to_float(double value) {
  const auto nearest = static_cast<float>(value);
  if (!std::isfinite(nearest) || std::fabs(static_cast<double>(nearest)) <= std::fabs(value)) return nearest;
  return std::nextafter(nearest, 0.0f);
}

// sum + x[0] y[0] + ... + x[7] y[7].
inline float mma_group(float sum, const float* x, const float* y) {
  double terms[9] = {sum};
  double largest = std::fabs(terms[0]);
  bool finite = std::isfinite(sum);
  for (int k = 0; k < 8; ++k) {
    terms[k + 1] = static_cast<double>(x[k]) * static_cast<double>(y[k]);  // exact
    finite = finite && std::isfinite(terms[k + 1]);
    largest = std::fmax(largest, std::fabs(terms[k + 1]));
  }
  if (!finite) {
    double total = 0;
    for (const double term : terms) total += term;
    return static_cast<float>(total);
  }
  const int exponent = largest < 0x1p-126 ? -126 : exponent_of(largest);
  const double unit = power_of_two(exponent - 24), per_unit = power_of_two(24 - exponent);
  std::int64_t units = 0;
  for (const double term : terms) units += static_cast<std::int64_t>(term * per_unit);
  return cut_to_float(static_cast<double>(units) * unit);
}

// d += a b. All 32 lanes of the warp call it.
inline void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  MmaFragments* const warp = mma_fragments[thread / 32];
  const unsigned lane = thread % 32;
  for (int i = 0; i < 4; ++i) warp[lane].a[i] = a[i];
  for (int i = 0; i < 2; ++i) warp[lane].b[i] = b[i];
  __syncwarp();
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float x[16], y[16];
    for (unsigned k = 0; k < 16; ++k) {
      const int half = static_cast<int>(k % 2);
      x[k] = mma_element(warp[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], half);
      y[k] = mma_element(warp[column * 4 + k % 8 / 2].b[k / 8], half);
    }
    d[i] = mma_group(mma_group(d[i], x, y), x + 8, y + 8);
  }
  __syncwarp();  // the next one writes
}

}  // namespace plumbline::cuda_emulation
