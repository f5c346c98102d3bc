#pragma once

#include <string>

namespace plumbline::reference {

std::string libtorch_version();  // "2.13.0"

}  // namespace plumbline::reference
