// The device and its libraries in words, for `plumbline info` and reports.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace plumbline::native {

// "cuda device": "NVIDIA H200, compute capability 9.0, ...", and so on: name and value of each line. What
// needs a device is left out where none can be used (cuda_device_problem() says why). Empty in a build
// without CUDA.
std::vector<std::pair<std::string, std::string>> cuda_description();

}  // namespace plumbline::native
