// The reference as a replayer: one op recomputed in f64 from the inputs that the subject recorded, with the
// bound B of what an f32 engine may differ by.
#pragma once

#include <filesystem>
#include <memory>

#include "harness/engine.h"
#include "harness/replay.h"
#include "reference/weights.h"

namespace plumbline::reference {

// Weights are the checkpoint's, rounded once to `storage`, the subject's storage dtype. They are read when an
// op first needs them. Throws Error for a broken checkpoint, or one that is not Qwen2. Replays may run in
// parallel.
std::unique_ptr<Replayer> make_replayer(const std::filesystem::path& directory, DType storage,
                                        Hold hold = Hold::all);

// How many replays of steps of at most `tokens` tokens may run at a time, that a replayer which holds one
// layer keeps within so many bytes; at least 1.
int replays_within(const ModelConfig& config, std::int64_t tokens, std::int64_t bytes);

// The same replayer, and truth: the reference engine in f64 (reference/engine.h) on the weights as the
// subject stores them. Both read one copy of the weights, 8 bytes for each.
struct Referee {
  std::unique_ptr<Engine> truth;
  std::unique_ptr<Replayer> replayer;
};
Referee make_referee(const std::filesystem::path& directory, DType storage, Hold hold = Hold::all);

}  // namespace plumbline::reference
