// The reference as an engine: LibTorch, literal, the whole sequence computed anew at each step; on the CPU
// or, where LibTorch has CUDA, on an NVIDIA GPU.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "harness/engine.h"
#include "reference/weights.h"

namespace plumbline::reference {

struct EngineOptions {
  // f32, bf16 and f16 follow transformers' eager model: in a half type every elementary operation rounds,
  // norms, softmax, cos and sin are computed in f32, and the logits handed out are f32. In f64 everything is
  // f64 but inv_freq and the product position * inv_freq, which are f32 by specification; cos and sin of that
  // angle are taken in f64.
  DType dtype = DType::f32;
  int threads = 1;        // LibTorch's, for the whole process
  Hold hold = Hold::all;  // with the same results either way
  // Where weights and activations lie. Probes and logits are handed out on the host all the same: from a GPU
  // those that somebody listens to are copied, and what a sink has written is copied back.
  Device device = {};
};

// Empty where EngineOptions::device may be an NVIDIA GPU; else why not: "LibTorch was built without CUDA".
std::string why_no_cuda();

// Throws Error for a checkpoint that is broken or not Qwen2, another dtype, threads < 1, or a device that
// LibTorch lacks.
// Its cache holds tokens, not keys (Cache::holds_keys is false); a probe that a sink modifies changes what
// this call goes on with, for the rows of its step, and is forgotten by the next call.
std::unique_ptr<Engine> make_engine(const std::filesystem::path& directory, const EngineOptions& options);

}  // namespace plumbline::reference
