// Which layers of a trace one of several ranks judges.
#pragma once

#include <utility>

#include "harness/model.h"

namespace plumbline::cli {

// First and last layer of rank `rank` of `ranks`, 0 <= rank < ranks <= layers: consecutive ones, so dealt out
// that the rank with most work has as little as can be. Work is counted in weights; lm_head is judged with
// the last layer. Throws Error for ranks that cannot be.
std::pair<int, int> layers_of_rank(const ModelConfig& config, int rank, int ranks);

}  // namespace plumbline::cli
