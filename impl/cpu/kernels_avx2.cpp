// Sixteen lanes as two AVX registers. Compiled with -mavx2 -mfma -mf16c (see kernels.h about includes).
#include <immintrin.h>

#include "impl/cpu/lane_kernels.h"
#include "impl/cpu/lane_sums.h"

namespace plumbline::native {
namespace {

struct Avx2Lanes {
  struct Vector {
    __m256 low;   // lanes 0..7
    __m256 high;  // lanes 8..15
  };
  static constexpr int kRows = 3;  // 12 accumulators, and room for the operands in 16 registers
  static constexpr int kOuts = 2;
  static constexpr bool kAddsTogether = true;
  static constexpr int kGroup = 3;  // of weighted sums: 12 accumulators, 3 weights and a vector of values
  static constexpr int kGroupWide = 2;
  using Floats = float __attribute__((vector_size(32)));
  using Ints = std::int32_t __attribute__((vector_size(32)));
  using Bits = std::uint32_t __attribute__((vector_size(32)));

  static Vector zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Vector broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Vector load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  // All ones in the lanes below `count`.
  static __m256i mask(std::int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
  }
  static Vector load_first(const float* p, std::int64_t count) {
    return {_mm256_maskload_ps(p, mask(count)), _mm256_maskload_ps(p + 8, mask(count - 8))};
  }
  static __m256 widen(Bf16, __m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  static __m256 widen(F16, __m128i halves) { return _mm256_cvtph_ps(halves); }
  template <typename Half>
  static Vector load(const Half* p) {
    const auto* eight = reinterpret_cast<const __m128i*>(p);
    return {widen(Half{}, _mm_loadu_si128(eight)), widen(Half{}, _mm_loadu_si128(eight + 1))};
  }
  template <typename Half>
  static Vector load_first(const Half* p, std::int64_t count) {
    Half filled[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) filled[i] = p[i];
    return load(filled);
  }
  static void store(float* p, const Vector& v) {
    _mm256_storeu_ps(p, v.low);
    _mm256_storeu_ps(p + 8, v.high);
  }
  static void store_first(float* p, std::int64_t count, const Vector& v) {
    _mm256_maskstore_ps(p, mask(count), v.low);
    _mm256_maskstore_ps(p + 8, mask(count - 8), v.high);
  }
  static Vector add(const Vector& a, const Vector& b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static Vector fma(const Vector& a, const Vector& b, const Vector& c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static float sum(const Vector& v) {
    const __m256 eight = _mm256_add_ps(v.low, v.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  // The additions of sum(), for two vectors at a time.
  static void sum_outs(const Vector (&v)[2], float* sums) {
    const __m256 four = add_halves(_mm256_add_ps(v[0].low, v[0].high), _mm256_add_ps(v[1].low, v[1].high));
    const __m256 two = _mm256_add_ps(four, _mm256_permute_ps(four, 0x4E));
    const __m256 one = _mm256_add_ps(two, _mm256_permute_ps(two, 0xB1));
    _mm_storel_pi(reinterpret_cast<__m64*>(sums),
                  _mm_unpacklo_ps(_mm256_castps256_ps128(one), _mm256_extractf128_ps(one, 1)));
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
};

}  // namespace

const Kernels kAvx2Kernels = make_kernels<Avx2Lanes>("avx2");

}  // namespace plumbline::native
