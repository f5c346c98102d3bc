// What the tests of kernels share: arrays in the memory of the emulated device, values in a storage dtype,
// comparison bit for bit, and runs under every schedule of the emulation.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "harness/dtype.h"
#include "impl/cuda/element.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/linear.h"
#include "tests/cuda_emulation/emulation.h"

namespace plumbline::native::cuda::testing {

// `values` on the device, `shift` elements behind an address that is a multiple of 16 bytes; a freshly
// allocated array is full of 0xFF bytes. Reading waits for what was queued.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count, std::size_t shift = 0) : count_(count), shift_(shift) {
    REQUIRE(cudaMalloc(&memory_, (shift + count) * sizeof(T)) == cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values, std::size_t shift = 0)
      : DeviceArray(values.size(), shift) {
    if (values.empty()) return;
    REQUIRE(cudaMemcpy(data(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice) ==
            cudaSuccess);
  }
  ~DeviceArray() { static_cast<void>(cudaFree(memory_)); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return memory_ + shift_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    const cudaError_t waited = cudaDeviceSynchronize();
    INFO(cudaGetErrorString(waited));
    REQUIRE(waited == cudaSuccess);
    if (count_ > 0) {
      REQUIRE(cudaMemcpy(values.data(), data(), count_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    }
    return values;
  }

 private:
  T* memory_ = nullptr;
  std::size_t count_;
  std::size_t shift_;
};

template <typename T>
constexpr DType dtype_of() {
  return sizeof(T) == 2 ? DType::bf16 : DType::f32;
}

// N(0, scale^2), rounded to T.
template <typename T>
std::vector<T> random_values(std::int64_t count, unsigned seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = narrow<T>(normal(generator));
  return values;
}

// How many elements differ in a bit; all of them where the sizes differ.
template <typename T>
std::size_t differing(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += std::memcmp(&a[i], &b[i], sizeof(T)) != 0;
  return count;
}

// The sum that linear.h describes, of a[k] * b[k], written out one lane after the other.
template <typename A, typename B>
float ordered_dot(const A* a, const B* b, std::int64_t depth) {
  std::vector<float> lanes(kSumLanes);
  for (std::int64_t lane = 0; lane < kSumLanes; ++lane) {
    for (std::int64_t begin = 0; begin < depth; begin += kSumLanes) {
      const std::int64_t k = begin + lane;
      const float x = k < depth ? widen(a[k]) : 0.0f, y = k < depth ? widen(b[k]) : 0.0f;
      lanes[static_cast<std::size_t>(lane)] = std::fma(x, y, lanes[static_cast<std::size_t>(lane)]);
    }
  }
  const auto add = [&](std::size_t first, std::size_t lanes_each, std::size_t groups) {
    // groups of lanes_each neighbours become their sums: l + (l + lanes_each / 2), and so on down to 1.
    for (std::size_t group = 0; group < groups; ++group) {
      float* own = &lanes[first + group * lanes_each];
      for (std::size_t half = lanes_each / 2; half > 0; half /= 2) {
        for (std::size_t l = 0; l < half; ++l) own[l] = own[l] + own[l + half];
      }
      lanes[first + group] = own[0];
    }
  };
  add(0, kThreadLanes, kWarp);
  add(0, kWarp, 1);
  return lanes[0];
}

// Calls body(name of the schedule) under lazy and eager streams, and under every order of blocks and threads;
// the settings are as before afterwards.
template <typename Body>
void under_all_schedules(const Body& body) {
  using cuda_emulation::Order;
  const cuda_emulation::Settings before = cuda_emulation::settings();
  for (const bool lazy : {true, false}) {
    for (const Order order : {Order::ascending, Order::descending, Order::shuffled}) {
      cuda_emulation::settings().lazy = lazy;
      cuda_emulation::settings().order = order;
      body(std::string(lazy ? "lazy" : "eager") + ", order " + std::to_string(static_cast<int>(order)));
    }
  }
  cuda_emulation::settings() = before;
}

// The sizes of the Qwen2 family.
struct ModelShape {
  const char* name;
  std::int64_t hidden, heads, kv_heads, head_dim, intermediate, vocab;
};
inline constexpr ModelShape kModelShapes[] = {
    {"0.5b", 896, 14, 2, 64, 4864, 151936},   {"1.5b", 1536, 12, 2, 128, 8960, 151936},
    {"3b", 2048, 16, 2, 128, 11008, 151936},  {"7b", 3584, 28, 4, 128, 18944, 152064},
    {"14b", 5120, 40, 8, 128, 13824, 152064}, {"32b", 5120, 40, 8, 128, 27648, 152064},
    {"72b", 8192, 64, 8, 128, 29568, 152064},
};

}  // namespace plumbline::native::cuda::testing
