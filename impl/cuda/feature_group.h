// Eight features of a head at a time, as caches and activations are read and written.
#pragma once

#include <cstdint>

#include "impl/cuda/element.h"
#include "impl/cuda/host_device.h"

namespace plumbline::native::cuda {

inline constexpr int kGroupFeatures = 8;

template <typename T>
struct alignas(16) FeatureGroup {
  T values[kGroupFeatures];
};

PLUMBLINE_HOST_DEVICE constexpr int groups_of(std::int64_t head_dim) {
  return static_cast<int>((head_dim + kGroupFeatures - 1) / kGroupFeatures);
}
// head_dim, filled up to whole groups.
PLUMBLINE_HOST_DEVICE constexpr int padded_features(std::int64_t head_dim) {
  return groups_of(head_dim) * kGroupFeatures;
}
// The least n with 2^n >= count.
PLUMBLINE_HOST_DEVICE constexpr int log2_above(int count) {
  int power = 0;
  while ((1 << power) < count) ++power;
  return power;
}

// Whether accesses of 16 bytes may begin there.
PLUMBLINE_HOST_DEVICE inline bool on_16_bytes(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}
// The first `count` of eight, 0 in the others' places. `together`: by accesses of 16 bytes; then `from` lies
// on 16 bytes and count is 8.
template <typename T>
PLUMBLINE_HOST_DEVICE inline FeatureGroup<T> load_group(const T* from, std::int64_t count, bool together) {
  if (together) return *reinterpret_cast<const FeatureGroup<T>*>(from);
  FeatureGroup<T> group;
  for (int i = 0; i < kGroupFeatures; ++i) group.values[i] = i < count ? from[i] : T{};
  return group;
}
template <typename T>
PLUMBLINE_HOST_DEVICE inline void store_group(const FeatureGroup<T>& group, T* to, std::int64_t count,
                                              bool together) {
  if (together) {
    *reinterpret_cast<FeatureGroup<T>*>(to) = group;
    return;
  }
  for (int i = 0; i < kGroupFeatures; ++i) {
    if (i < count) to[i] = group.values[i];
  }
}

// Each value rounded to To once.
template <typename To, typename From>
PLUMBLINE_HOST_DEVICE inline FeatureGroup<To> converted(const FeatureGroup<From>& group) {
  FeatureGroup<To> result;
  for (int i = 0; i < kGroupFeatures; ++i) result.values[i] = narrow<To>(widen(group.values[i]));
  return result;
}

}  // namespace plumbline::native::cuda
