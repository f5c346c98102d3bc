// Where LibTorch computes.
#pragma once

#include <ATen/ATen.h>

#include "harness/tensor.h"

namespace plumbline::reference {

// Throws Error for an NVIDIA GPU that LibTorch lacks. Where it has one, the process's settings become those
// of compute_plainly().
at::Device torch_device(Device device);

// For the whole process: no TF32 and no sums of products in half types (what is summed is summed in f32), and
// of each operation the algorithm that gives the same bits again.
void compute_plainly();

// Waits for what was begun there.
void synchronize(at::Device device);

}  // namespace plumbline::reference
