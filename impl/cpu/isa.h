// Choosing the kernels of an instruction set at run time.
#pragma once

#include <string>
#include <vector>

#include "impl/cpu/kernels.h"

namespace plumbline::native {

// Instruction sets that this build has and this machine runs, the best first; "scalar" is always the last.
std::vector<std::string> available_isas();

// "" means the best here. Throws Error for a name that is unknown or not available here.
const Kernels& kernels_for(const std::string& isa);

}  // namespace plumbline::native
