// Eight lanes of several vectors added by the tree of kernels.h, each vector's sum beside the others', in AVX
// registers. Of a pair's two halves a blend keeps one where it is, so each addition costs one shuffle.
#pragma once

#include <immintrin.h>

namespace plumbline::native {
namespace {

// l + (l + 4) of both: a's four lanes, then b's.
inline __m256 add_halves(__m256 a, __m256 b) {
  return _mm256_add_ps(_mm256_blend_ps(a, b, 0xF0), _mm256_permute2f128_ps(a, b, 0x21));
}

// The sums of v[0], v[1], v[2], v[3].
inline __m128 sum_four(const __m256 (&v)[4]) {
  const __m256 four_01 = add_halves(v[0], v[1]), four_23 = add_halves(v[2], v[3]);
  // l + (l + 2): of v[0], v[2] below and v[1], v[3] above.
  const __m256 two =
      _mm256_add_ps(_mm256_blend_ps(four_01, four_23, 0xCC), _mm256_shuffle_ps(four_01, four_23, 0x4E));
  const __m256 one = _mm256_add_ps(two, _mm256_permute_ps(two, 0xB1));
  return _mm_blend_ps(_mm256_castps256_ps128(one), _mm256_extractf128_ps(one, 1), 0xA);
}

}  // namespace
}  // namespace plumbline::native
