// One forward call of one sequence over a checkpoint of whole numbers, op by op.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "phases/support/integer_model.h"
#include "phases/support/integer_run.h"

namespace plumbline::phases {

// What the caches of one sequence must hold, layer by layer: the rows that were handed to them.
struct History {
  std::vector<std::vector<double>> keys, values;
};

// Holds what the engine showed (`seen`, by probe) against integer arithmetic, adds the rows that went to the
// caches to `history`, and counts in `run`. `past`: tokens before this call; `logit_rows`: of the last rows.
// `where` is said of the first difference.
void check_integer_step(const IntegerModel& model, const std::map<OpSite, Tensor>& seen,
                        const std::string& where, std::span<const TokenId> tokens, std::int64_t past,
                        std::int64_t logit_rows, History& history, IntegerRun& run);

}  // namespace plumbline::phases
