// What every CPU op works with.
#pragma once

#include "harness/dtype.h"
#include "impl/cpu/kernels.h"
#include "impl/thread_pool.h"

namespace plumbline::native {

struct CpuContext {
  const Kernels& kernels;
  ThreadPool& pool;
  // Of weights and activations: f32, bf16 or f16. Ops compute in f32 whichever it is, and activations are f32
  // that hold values of it.
  DType storage = DType::f32;

  // What an op leaves of its output: each value rounded to storage, once.
  void store(float* values, std::int64_t count) const {
    if (storage == DType::bf16) kernels.round_bf16(values, count);
    if (storage == DType::f16) kernels.round_f16(values, count);
  }

  // A part of a loop should cost far more than waking a thread (some 10 microseconds): at least this many
  // multiply-adds.
  static constexpr std::int64_t kPartWork = 1 << 17;
  // How many items of `work` multiply-adds each make one part.
  static std::int64_t grain(std::int64_t work) { return work >= kPartWork ? 1 : kPartWork / (work + 1) + 1; }
};

}  // namespace plumbline::native
