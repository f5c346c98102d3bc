// Sixteen lanes in plain C++. Compiled with -ffp-contract=off: each fma is asked for, none is made up.
#include "impl/cpu/lane_kernels.h"

namespace plumbline::native {
namespace {

struct ScalarLanes {
  struct Vector {
    float lane[kLanes];
  };
  static constexpr int kRows = 1;
  static constexpr int kOuts = 1;
  static constexpr bool kAddsTogether = false;
  static constexpr int kGroup = 1;
  static constexpr int kGroupWide = 1;
  using Floats = float __attribute__((vector_size(16)));
  using Ints = std::int32_t __attribute__((vector_size(16)));
  using Bits = std::uint32_t __attribute__((vector_size(16)));

  static float float_of(std::uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
  }
  static Vector zero() { return broadcast(0.0f); }
  static Vector broadcast(float x) {
    Vector v;
    for (float& lane : v.lane) lane = x;
    return v;
  }
  static float widen(float value) { return value; }
  static float widen(Bf16 half) { return float_of(static_cast<std::uint32_t>(half.bits) << 16); }
  // As in impl/half.cpp.
  static float widen(F16 half) {
    const std::uint32_t size = (half.bits & 0x7fffu) << 13;
    const float finite = float_of(size) * 0x1p112f;
    const float value = size >= 0x0f800000u ? float_of(size | kF32Infinity) : finite;
    return half.bits < 0x8000u ? value : -value;
  }
  template <typename Element>
  static Vector load(const Element* p) {
    return load_first(p, kLanes);
  }
  template <typename Element>
  static Vector load_first(const Element* p, std::int64_t count) {
    Vector v;
    for (std::int64_t i = 0; i < kLanes; ++i) v.lane[i] = i < count ? widen(p[i]) : 0.0f;
    return v;
  }
  static void store(float* p, const Vector& v) { store_first(p, kLanes, v); }
  static void store_first(float* p, std::int64_t count, const Vector& v) {
    for (std::int64_t i = 0; i < count; ++i) p[i] = v.lane[i];
  }
  static Vector add(const Vector& a, const Vector& b) {
    Vector v;
    for (std::int64_t i = 0; i < kLanes; ++i) v.lane[i] = a.lane[i] + b.lane[i];
    return v;
  }
  static Vector fma(const Vector& a, const Vector& b, const Vector& c) {
    Vector v;
    for (std::int64_t i = 0; i < kLanes; ++i) v.lane[i] = __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]);
    return v;
  }
  static float sum(Vector v) {
    for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (std::int64_t i = 0; i < half; ++i) v.lane[i] += v.lane[i + half];
    }
    return v.lane[0];
  }
  static void prefetch(const void*) {}
};

}  // namespace

const Kernels kScalarKernels = make_kernels<ScalarLanes>("scalar");

}  // namespace plumbline::native
