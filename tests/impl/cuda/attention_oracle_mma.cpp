#include "tests/impl/cuda/attention_oracle_mma.h"

#include <plumbline_mma.h>

#include <array>
#include <cmath>
#include <cstring>

namespace plumbline::native::cuda::testing {
namespace {

using Sixteen = std::array<float, 16>;

float one_mma(float sum, const Sixteen& x, const Sixteen& y) {
  sum = cuda_emulation::mma_group(sum, x.data(), y.data());
  return cuda_emulation::mma_group(sum, x.data() + 8, y.data() + 8);
}

// The first eight bits of a number and what is left.
struct Cut {
  float term;
  float rest;
};
Cut cut(float value) {
  if (std::isinf(value)) return {value, 0.0f};
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = bits / 65536 * 65536;
  Cut result{};
  std::memcpy(&result.term, &bits, sizeof bits);
  result.rest = value - result.term;
  return result;
}

}  // namespace

float product_on_tensor_cores(const float* query, const float* key, std::int64_t head_dim) {
  float sum = 0;
  for (std::int64_t first = 0; first < head_dim; first += 32) {
    for (std::int64_t half = 0; half < 2; ++half) {
      Sixteen x{}, y{};
      // The hardware's terms 2t and 2t + 1 are two features of the 8 from 8t on, 2t + 8 and 2t + 9 the next
      // two.
      for (std::int64_t k = 0; k < 16; ++k) {
        const std::int64_t feature = first + k % 8 / 2 * 8 + half * 4 + k / 8 * 2 + k % 2;
        if (feature >= head_dim) continue;
        x[static_cast<std::size_t>(k)] = query[feature];
        y[static_cast<std::size_t>(k)] = key[feature];
      }
      sum = one_mma(sum, x, y);
    }
  }
  return sum;
}

float block_on_tensor_cores(const std::vector<float>& weights, const std::vector<float>& values) {
  float sum = 0;
  for (int term = 2; term >= 0; --term) {
    for (std::size_t first = 0; first < 64; first += 16) {
      Sixteen x{}, y{};
      for (std::size_t k = 0; k < 16; ++k) {
        const std::size_t key = first + k % 8 / 2 * 4 + k / 8 * 2 + k % 2;
        Cut parts = cut(weights[key]);
        for (int i = 0; i < term; ++i) parts = cut(parts.rest);
        x[k] = parts.term;
        y[k] = values[key];
      }
      sum = one_mma(sum, x, y);
    }
  }
  return sum;
}

}  // namespace plumbline::native::cuda::testing
