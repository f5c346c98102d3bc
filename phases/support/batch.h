// Several prompts in one forward call.
#pragma once

#include <vector>

#include "harness/trace.h"
#include "phases/support/sides.h"

namespace plumbline::phases {

// One ragged prefill of all prompts, logits for all positions; prompt i is sequence i.
Trace record_batch(Engine& engine, const std::vector<Prompt>& prompts);

}  // namespace plumbline::phases
