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

  static Vector zero() { return broadcast(0.0f); }
  static Vector broadcast(float x) {
    Vector v;
    for (float& lane : v.lane) lane = x;
    return v;
  }
  static Vector load(const float* p) { return load_first(p, kLanes); }
  static Vector load_first(const float* p, std::int64_t count) {
    Vector v;
    for (std::int64_t i = 0; i < kLanes; ++i) v.lane[i] = i < count ? p[i] : 0.0f;
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
  static void prefetch(const float*) {}
};

}  // namespace

const Kernels kScalarKernels = make_kernels<ScalarLanes>("scalar");

}  // namespace plumbline::native
