// Residual connection on the device: out = a + b, each sum rounded once to f32 (bit-equal to the CPU's).
#pragma once

#include <cstdint>

namespace plumbline::native {

// `count` floats each, in device memory; out may be a or b. Queued on the default stream. Throws Error naming
// the CUDA call that failed.
void cuda_residual(const float* a, const float* b, std::int64_t count, float* out);

// Throws Error when the device cannot run this build's kernels (compiled for another architecture).
void cuda_check_kernels();

}  // namespace plumbline::native
