// What every CPU op works with.
#pragma once

#include "impl/cpu/kernels.h"
#include "impl/thread_pool.h"

namespace plumbline::native {

struct CpuContext {
  const Kernels& kernels;
  ThreadPool& pool;

  // A part of a loop should cost far more than waking a thread (some 10 microseconds): at least this many
  // multiply-adds.
  static constexpr std::int64_t kPartWork = 1 << 17;
  // How many items of `work` multiply-adds each make one part.
  static std::int64_t grain(std::int64_t work) { return work >= kPartWork ? 1 : kPartWork / (work + 1) + 1; }
};

}  // namespace plumbline::native
