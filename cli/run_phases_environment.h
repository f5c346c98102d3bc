// What the machine and the checkout are, for the environment section of every page.
#pragma once

#include "harness/report.h"

namespace plumbline::cli {

// Commit (of the source tree, "-dirty" with changes; "unknown" without git), CPU, cores, system.
Environment machine_environment();

// Adds what `phase` does not say itself, in front.
void add_environment(const Environment& machine, PhaseReport& phase);

}  // namespace plumbline::cli
