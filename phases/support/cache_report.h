// Caches and invariances as checks of the current case.
#pragma once

#include <string>
#include <vector>

#include "phases/support/invariances.h"

namespace plumbline::phases {

// Caches that the engine refuses: skipped, with its reason, and counted.
void record_refusals(const Refusals& refusals);

// Each as a check with tolerance 0 that stands for all its runs, and a table of all, beside what two others
// measured (rows of the same name): the reference, whose blocks of rows make its bits the same too, and
// LibTorch as one writes it for speed.
void record_invariances(const Invariances& native, const Invariances& reference, const Invariances& fast,
                        const std::string& subject);

}  // namespace plumbline::phases
