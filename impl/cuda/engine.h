// The native CUDA engine: Qwen2 on an NVIDIA GPU, behind the interface of every engine. docs/cuda.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "harness/engine.h"

namespace plumbline::native {

// What multiplies by the weights of a step of many tokens.
enum class CudaMatmul : std::uint8_t {
  automatic,  // cuBLASLt for bf16 where it is there, else own kernels
  own,        // one order of sums for any number of rows (impl/cuda/linear.h)
};

// How decode steps that nobody listens to are launched. The bits are the same.
enum class CudaDecode : std::uint8_t {
  automatic,  // one sequence's as one persistent kernel where it serves the model, others as a graph
  graph,      // captured as a CUDA graph
  launches,   // one kernel after the other
};

struct CudaOptions {
  DType storage = DType::f32;  // of weights and activations: f32 (without TF32) or bf16; both compute in f32
  CudaMatmul matmul = CudaMatmul::automatic;
  CudaDecode decode = CudaDecode::automatic;
};

// Whether this build holds CUDA code at all.
bool cuda_compiled();

// Empty when a device is there that this build's kernels run on; otherwise what stands in the way.
std::string cuda_device_problem();

// Loads directory/config.json and its weights into the memory of device 0. Probes and logits are views on the
// device: copy them with Engine::to_host. Throws Error as make_cpu_engine does, and when there is no CUDA in
// this build, no usable device, a storage dtype other than f32 and bf16, a head_dim beyond 128, or too little
// memory on the device: then it says how much is needed and free, before anything is allocated.
std::unique_ptr<Engine> make_cuda_engine(const std::filesystem::path& directory,
                                         const CudaOptions& options = {});

}  // namespace plumbline::native
