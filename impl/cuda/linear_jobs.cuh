// What kernels of linear layers make of their sums; for .cu files.
#pragma once

#include <cstdint>

#include "impl/cuda/device.cuh"
#include "impl/cuda/linear.h"
#include "impl/cuda/residual.h"
#include "impl/cuda/silu_mul.h"

namespace plumbline::native::cuda {

// Jobs: which weight rows an output sums, and what becomes of the sums.
//   kWeights             weight rows of an output
//   outs()               outputs
//   weight_row(w, out)   [depth]
//   addends(row, out)    what finish() will need from memory, asked for before the sums are made
//   finish(row, out, sums, addends)

template <typename T>
struct Weights {
  const T* weight;
  const T* bias;
  std::int64_t outs;
  std::int64_t depth;

  __device__ __forceinline__ const T* row(std::int64_t out) const { return weight + out * depth; }
  // -0 where there is no bias: x + -0 is x for every x, -0 among them.
  __device__ __forceinline__ float bias_of(std::int64_t out) const {
    return bias == nullptr ? -0.0f : widen(bias[out]);
  }
};
template <typename T>
Weights<T> weights_of(const LinearLayer& layer) {
  return {static_cast<const T*>(layer.weight), static_cast<const T*>(layer.bias), layer.outs, layer.depth};
}

// Up to three layers side by side, each to its own y.
template <typename T>
struct StoreJob {
  static constexpr int kWeights = 1;
  using Addends = float;
  Weights<T> weights[3];
  T* y[3];

  __device__ __forceinline__ std::int64_t outs() const {
    return weights[0].outs + weights[1].outs + weights[2].outs;
  }
  // body(layer number, out within it).
  template <typename Body>
  __device__ __forceinline__ auto at(std::int64_t out, const Body& body) const {
    if (out < weights[0].outs) return body(0, out);
    out -= weights[0].outs;
    return out < weights[1].outs ? body(1, out) : body(2, out - weights[1].outs);
  }
  __device__ __forceinline__ const T* weight_row(int, std::int64_t out) const {
    return at(out, [&](int layer, std::int64_t o) { return weights[layer].row(o); });
  }
  __device__ __forceinline__ Addends addends(std::int64_t, std::int64_t out) const {
    return at(out, [&](int layer, std::int64_t o) { return weights[layer].bias_of(o); });
  }
  __device__ __forceinline__ void finish(std::int64_t row, std::int64_t out, const float (&sums)[1],
                                         Addends bias) const {
    at(out, [&](int layer, std::int64_t o) {
      y[layer][row * weights[layer].outs + o] = narrow<T>(sums[0] + bias);
    });
  }
};

template <typename T>
struct ResidualJob {
  static constexpr int kWeights = 1;
  struct Addends {
    float bias;
    T stream;
  };
  Weights<T> weights;
  T* stream_rows;

  __device__ __forceinline__ std::int64_t outs() const { return weights.outs; }
  __device__ __forceinline__ const T* weight_row(int, std::int64_t out) const { return weights.row(out); }
  __device__ __forceinline__ Addends addends(std::int64_t row, std::int64_t out) const {
    return {weights.bias_of(out), stream_rows[row * weights.outs + out]};
  }
  __device__ __forceinline__ void finish(std::int64_t row, std::int64_t out, const float (&sums)[1],
                                         const Addends& addends) const {
    stream_rows[row * weights.outs + out] = residual_of(addends.stream, narrow<T>(sums[0] + addends.bias));
  }
};

template <typename T>
struct SiluMulJob {
  static constexpr int kWeights = 2;
  struct Addends {
    float gate;
    float up;
  };
  Weights<T> gate;
  Weights<T> up;
  T* act;

  __device__ __forceinline__ std::int64_t outs() const { return gate.outs; }
  __device__ __forceinline__ const T* weight_row(int w, std::int64_t out) const {
    return w == 0 ? gate.row(out) : up.row(out);
  }
  __device__ __forceinline__ Addends addends(std::int64_t, std::int64_t out) const {
    return {gate.bias_of(out), up.bias_of(out)};
  }
  __device__ __forceinline__ void finish(std::int64_t row, std::int64_t out, const float (&sums)[2],
                                         const Addends& bias) const {
    act[row * gate.outs + out] = silu_mul_of(narrow<T>(sums[0] + bias.gate), narrow<T>(sums[1] + bias.up));
  }
};

template <typename T>
struct LogitsJob {
  static constexpr int kWeights = 1;
  using Addends = float;
  Weights<T> weights;
  float* logits;

  __device__ __forceinline__ std::int64_t outs() const { return weights.outs; }
  __device__ __forceinline__ const T* weight_row(int, std::int64_t out) const { return weights.row(out); }
  __device__ __forceinline__ Addends addends(std::int64_t, std::int64_t out) const {
    return weights.bias_of(out);
  }
  __device__ __forceinline__ void finish(std::int64_t row, std::int64_t out, const float (&sums)[1],
                                         Addends bias) const {
    logits[row * weights.outs + out] = stored<T>(sums[0] + bias);
  }
};

}  // namespace plumbline::native::cuda
