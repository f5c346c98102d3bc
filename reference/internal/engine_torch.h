// Engines and replayers over weights that they share.
#pragma once

#include <memory>

#include "harness/replay.h"
#include "reference/engine.h"
#include "reference/internal/weights_torch.h"

namespace plumbline::reference {

// It computes where the weights are; options.device is what its EngineInfo says.
std::unique_ptr<Engine> engine_over(ModelConfig config, std::shared_ptr<const Weights> weights,
                                    const EngineOptions& options);
// The weights are f64.
std::unique_ptr<Replayer> replayer_over(ModelConfig config, std::shared_ptr<const Weights> weights,
                                        DType storage);

}  // namespace plumbline::reference
