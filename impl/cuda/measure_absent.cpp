// What is measured in a build without the CUDA toolkit: nothing.
#include "harness/error.h"
#include "impl/cuda/measure.h"

namespace plumbline::native::cuda {

std::unique_ptr<DeviceWork> make_copy_work(std::size_t) {
  throw Error("this build has no CUDA", "cuda");
}

std::unique_ptr<DeviceWork> make_matmul_work(std::int64_t, std::int64_t, std::int64_t) {
  return nullptr;
}

}  // namespace plumbline::native::cuda
