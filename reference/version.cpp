#include "reference/version.h"

#include <torch/version.h>

namespace plumbline::reference {

std::string libtorch_version() {
  return TORCH_VERSION;
}

}  // namespace plumbline::reference
