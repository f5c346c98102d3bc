// The native CPU engine.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "impl/cpu/isa.h"

namespace plumbline::native {

struct CpuOptions {
  int threads = 0;             // 0: all cores
  std::string isa{};           // "avx512", "avx2", "scalar"; "" is the best here
  DType storage = DType::f32;  // of weights and activations: f32, bf16, f16; all of them compute in f32
};

// Loads directory/config.json and its weights. No result depends on `threads`, and none on `isa`. Throws
// Error for a checkpoint that cannot be used (impl/config.h, impl/weights.h), an instruction set that is not
// available, a number of threads out of range, or a storage dtype that is
// none of those, or too small for a weight.
std::unique_ptr<Engine> make_cpu_engine(const std::filesystem::path& directory, const CpuOptions& options);

}  // namespace plumbline::native
