// What a case of phase 2 shows: checks by category and pair of sides, a table of all categories, and the
// first mismatches with their code points, pieces and ids on both sides, and the stage at which they part.
#pragma once

#include <string>
#include <vector>

#include "phases/support/token_compare.h"

namespace plumbline::phases {

// Records the checks (one for each category and pair; it stands for as many texts as were compared), adds the
// table under `title` and the closer look at up to three mismatches, and sets the headline to the first.
void record_categories(const std::string& title, const std::vector<CategoryResult>& results);

struct ExplainedMismatch {
  std::string stage;                           // of an encoding, "decode", or "unknown stage"
  std::string asked;                           // the text and its code points, or the ids
  std::string apart;                           // what was expected there and what came
  std::vector<std::vector<std::string>> rows;  // closely: {what, expected, actual}
};
ExplainedMismatch explain(SidePair pair, const TokenMismatch& mismatch);

}  // namespace plumbline::phases
