// Sixteen lanes as one AVX-512 register. Compiled with -mavx512f (see kernels.h about includes).
#include <immintrin.h>

#include "impl/cpu/lane_kernels.h"
#include "impl/cpu/lane_sums.h"

namespace plumbline::native {
namespace {

struct Avx512Lanes {
  using Vector = __m512;
  static constexpr int kRows = 6;  // 24 accumulators, and room for the operands in 32 registers
  static constexpr int kOuts = 4;
  static constexpr bool kAddsTogether = true;
  static constexpr int kGroup = 4;  // of weighted sums: 16 accumulators beside 4 vectors of values
  static constexpr int kGroupWide = 4;
  using Floats = float __attribute__((vector_size(64)));
  using Ints = std::int32_t __attribute__((vector_size(64)));
  using Bits = std::uint32_t __attribute__((vector_size(64)));

  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector broadcast(float x) { return _mm512_set1_ps(x); }
  static Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static __mmask16 mask(std::int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static Vector load_first(const float* p, std::int64_t count) {
    return _mm512_maskz_loadu_ps(mask(count), p);
  }
  // Masked by all ones: GCC 12 warns about its own unmasked intrinsics, and compiles both to the same code.
  static constexpr __mmask16 kAll = 0xFFFF;
  static Vector widen(Bf16, __m256i halves) {
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAll, _mm512_maskz_cvtepu16_epi32(kAll, halves), 16));
  }
  static Vector widen(F16, __m256i halves) { return _mm512_maskz_cvtph_ps(kAll, halves); }
  template <typename Half>
  static Vector load(const Half* p) {
    return widen(Half{}, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  template <typename Half>
  static Vector load_first(const Half* p, std::int64_t count) {
    Half filled[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) filled[i] = p[i];
    return load(filled);
  }
  static void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
  static void store_first(float* p, std::int64_t count, Vector v) {
    _mm512_mask_storeu_ps(p, mask(count), v);
  }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  // Masked as above.
  template <int kIndex>
  static __m256 half(Vector v) {
    return _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(__mmask8{0xFF}, _mm512_castps_pd(v), kIndex));
  }
  static float sum(Vector v) {
    const __m256 eight = _mm256_add_ps(half<0>(v), half<1>(v));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  // The additions of sum(), for four vectors at a time.
  static void sum_outs(const Vector (&v)[4], float* sums) {
    __m256 eight[4];
    for (int i = 0; i < 4; ++i) eight[i] = _mm256_add_ps(half<0>(v[i]), half<1>(v[i]));
    _mm_storeu_ps(sums, sum_four(eight));
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
};

}  // namespace

const Kernels kAvx512Kernels = make_kernels<Avx512Lanes>("avx512");

}  // namespace plumbline::native
