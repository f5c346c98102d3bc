// The CUDA engine of a build without the CUDA toolkit: it is not there, and says so.
#include "harness/error.h"
#include "impl/cuda/description.h"
#include "impl/cuda/engine.h"

namespace plumbline::native {

bool cuda_compiled() {
  return false;
}

std::string cuda_device_problem() {
  return "this build has no CUDA";
}

std::vector<std::pair<std::string, std::string>> cuda_description() {
  return {};
}

std::unique_ptr<Engine> make_cuda_engine(const std::filesystem::path&, const CudaOptions&) {
  throw Error("this build has no CUDA", "cuda engine", "configure where nvcc is, with -DPLUMBLINE_CUDA=ON");
}

}  // namespace plumbline::native
