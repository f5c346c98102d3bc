// The reference as a replayer: one op recomputed in f64 from the inputs that the subject recorded, with the
// bound B of what an f32 engine may differ by.
#pragma once

#include <filesystem>
#include <memory>

#include "harness/replay.h"

namespace plumbline::reference {

// Weights are the checkpoint's, rounded once to `storage`, the subject's storage dtype. They are read when an
// op first needs them. Throws Error for a broken checkpoint, or one that is not Qwen2. Replays may run in
// parallel.
std::unique_ptr<Replayer> make_replayer(const std::filesystem::path& directory, DType storage);

}  // namespace plumbline::reference
