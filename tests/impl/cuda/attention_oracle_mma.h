// The order of sums of impl/cuda/attention/mma.h written out, over the emulation's sum of eight products.
#pragma once

#include <cstdint>
#include <vector>

namespace plumbline::native::cuda::testing {

// Before its scale. query, key: [head_dim].
float product_on_tensor_cores(const float* query, const float* key, std::int64_t head_dim);

// One feature's sum over a block of keys. weights, values: [64], zeros for forbidden keys and those that are
// not there.
float block_on_tensor_cores(const std::vector<float>& weights, const std::vector<float>& values);

}  // namespace plumbline::native::cuda::testing
