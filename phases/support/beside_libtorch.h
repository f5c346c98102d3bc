// LibTorch on the GPU beside the CUDA engine: a second opinion on the same device, with cuBLAS's sums. Its
// ops are judged by their own recorded inputs as ours are, and shown; they are no part of the subject.
#pragma once

#include <vector>

#include "phases/support/sides.h"

namespace plumbline::phases {

// For a run on CUDA; does nothing elsewhere. Adds the shares of both side by side, and how far each prompt's
// final logits lie from LibTorch's: recorded where goldens judge the subject, shown elsewhere. Skipped, with
// its reason, where LibTorch has no CUDA or no memory.
void record_beside_libtorch(const std::vector<Prompt>& prompts);

}  // namespace plumbline::phases
