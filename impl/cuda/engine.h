// The native CUDA engine. So far one op runs on the device, the residual connection: the CPU engine computes
// the rest, and each residual sum is taken again on the device from the same inputs and put in the CPU's
// place.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "harness/engine.h"

namespace plumbline::native {

// Whether this build holds CUDA code at all.
bool cuda_compiled();

// Empty when a device is there that this build's kernels run on; otherwise what stands in the way.
std::string cuda_device_problem();

// Probes of attn_residual and mlp_residual are views on the device: copy them with Engine::to_host. Throws
// Error when there is no CUDA in this build or no usable device, and as make_cpu_engine does.
std::unique_ptr<Engine> make_cuda_engine(const std::filesystem::path& directory);

}  // namespace plumbline::native
