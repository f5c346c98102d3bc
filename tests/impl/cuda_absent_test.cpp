// What a machine without a usable device says; with one, the engine that is there.
#include <catch2/catch.hpp>

#include "impl/cuda/engine.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

TEST_CASE("cuda: without a usable device the engine says why; with one it is there") {
  const std::string problem = cuda_device_problem();
  if (problem.empty()) {
    CHECK(make_cuda_engine(tiny_model())->info().device.kind == DeviceKind::cuda);
    return;
  }
  const std::string error = error_of([] { make_cuda_engine(tiny_model()); });
  CHECK_THAT(error, Catch::Contains(cuda_compiled() ? "no usable CUDA device" : "this build has no CUDA"));
}
