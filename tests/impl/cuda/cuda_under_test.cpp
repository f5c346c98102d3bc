#include "impl/cuda/engine.h"
#include "tests/impl/engine_under_test.h"

namespace plumbline::native::testing {

std::unique_ptr<Engine> make_engine_under_test(const std::filesystem::path& directory, DType storage) {
  return make_cuda_engine(directory, {.storage = storage});
}

}  // namespace plumbline::native::testing
