// How large a grid may be whose blocks live at once.
#include <cooperative_groups.h>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

__global__ void grid_kernel(int* out) {
  cooperative_groups::this_grid().sync();
  if (out != nullptr) *out = 1;
}
int* const none = nullptr;

TEST_CASE("cuda emulation: a grid that cannot be resident at once is refused by the call") {
  const Fresh fresh;
  CHECK(run_cooperative({3, 1024}, grid_kernel, none) == cudaSuccess);
  CHECK(run_cooperative({4, 32}, grid_kernel, none) == cudaErrorCooperativeLaunchTooLarge);
  CHECK(cudaGetLastError() == cudaErrorCooperativeLaunchTooLarge);
  CHECK(run_cooperative({dim3(1, 2, 2), 32}, grid_kernel, none) == cudaErrorCooperativeLaunchTooLarge);
  settings().blocks_of_multiprocessor = 2;
  CHECK(run_cooperative({6, 1024}, grid_kernel, none) == cudaSuccess);
  CHECK(run_cooperative({7, 1024}, grid_kernel, none) == cudaErrorCooperativeLaunchTooLarge);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  settings().cooperative_launch = false;
  CHECK(run_cooperative({1, 32}, grid_kernel, none) == cudaErrorNotSupported);
}

TEST_CASE("cuda emulation: a launch is cooperative when its attribute says 1") {
  const Fresh fresh;
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeIgnore;
  attributes[1].id = cudaLaunchAttributeCooperative;
  cudaLaunchConfig_t configuration{};
  configuration.gridDim = 4;
  configuration.blockDim = 32;
  configuration.attrs = attributes;
  configuration.numAttrs = 2;
  REQUIRE(cudaLaunchKernelEx(&configuration, grid_kernel, none) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  REQUIRE(cudaDeviceReset() == cudaSuccess);
  attributes[1].val.cooperative = 1;
  CHECK(cudaLaunchKernelEx(&configuration, grid_kernel, none) == cudaErrorCooperativeLaunchTooLarge);
}

TEST_CASE("cuda emulation: what the device says of cooperative launches is what it takes") {
  const Fresh fresh;
  settings().blocks_of_multiprocessor = 32;
  constexpr std::size_t kMost = 227 * 1024;
  const auto occupancy = [](int threads, std::size_t shared) {
    int blocks = -1;
    REQUIRE(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, grid_kernel, threads, shared) ==
            cudaSuccess);
    return blocks;
  };
  CHECK(occupancy(1, 0) == 32);
  CHECK(occupancy(1024, 0) == 2);
  CHECK(occupancy(90, 0) == 21);
  CHECK(occupancy(1025, 0) == 0);
  CHECK(occupancy(128, 48 * 1024) == 4);
  CHECK(occupancy(128, kMost) == 0);
  CHECK(run_cooperative({1, 128, kMost}, grid_kernel, none) == cudaErrorInvalidValue);
  REQUIRE(cudaFuncSetAttribute(grid_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost) ==
          cudaSuccess);
  CHECK(occupancy(128, kMost) == 1);
  CHECK(occupancy(128, kMost / 2) == 1);
  CHECK(occupancy(128, kMost / 2 - 512) == 2);
  CHECK(run_cooperative({3, 128, kMost}, grid_kernel, none) == cudaSuccess);
  CHECK(run_cooperative({4, 128, kMost}, grid_kernel, none) == cudaErrorCooperativeLaunchTooLarge);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  int value = -1;
  REQUIRE(cudaDeviceGetAttribute(&value, cudaDevAttrCooperativeLaunch, 0) == cudaSuccess);
  CHECK(value == 1);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&value, grid_kernel, 0, 0) == cudaErrorInvalidValue);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(nullptr, grid_kernel, 1, 0) == cudaErrorInvalidValue);
}

}  // namespace
}  // namespace plumbline::cuda_emulation
