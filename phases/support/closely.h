// Ops of judged prompts seen closely: what a failing page needs of the first wrong ones.
#pragma once

#include <vector>

#include "phases/support/sides.h"

namespace plumbline::phases {

// Adds evidence under the current case: where the local errors of ops_to_see_closely() sit, and their worst
// points. Runs the prompt once more for each, with the probes that the op reads.
void add_worst_ops_seen_closely(const std::vector<Prompt>& prompts);

}  // namespace plumbline::phases
