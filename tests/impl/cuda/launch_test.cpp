// Launches whose blocks wait for each other, as kernels' files ask for them.
#include "impl/cuda/launch.h"

#include <cooperative_groups.h>

#include <catch2/catch.hpp>
#include <vector>

#include "impl/cuda/device.cuh"
#include "tests/cuda_emulation/with_settings.h"
#include "tests/impl/cuda/support.h"

namespace plumbline::native::cuda::testing {
namespace {

using Catch::Matchers::Contains;
using cuda_emulation::settings;

// Each block leaves its number in `sums` by way of its shared memory, then adds up all of them.
__global__ void sum_kernel(int* numbers, int* sums, std::int64_t last) {
  int* shared = shared_memory<int>();
  const auto grid = cooperative_groups::this_grid();
  shared[last] = static_cast<int>(grid.block_rank()) + 1;
  auto token = grid.barrier_arrive();
  grid.barrier_wait(std::move(token));
  numbers[grid.block_rank()] = shared[last];
  grid.sync();
  int sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += numbers[i];
  sums[grid.block_rank()] = sum;
}

LaunchShape shape_of(std::int64_t blocks, std::size_t shared_bytes) {
  return {blocks, 1, 1, 64, shared_bytes};
}
void sum(std::int64_t blocks, std::size_t shared_bytes, const DeviceArray<int>& sums) {
  const DeviceArray<int> numbers(16);
  const auto last = static_cast<std::int64_t>(shared_bytes / sizeof(int)) - 1;
  launch_cooperative("sum", sum_kernel, shape_of(blocks, shared_bytes), nullptr, numbers.data(), sums.data(),
                     last);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
}

TEST_CASE(
    "cuda: as many blocks as live at once wait for each other, with what shared memory they asked for") {
  const cuda_emulation::WithSettings restored;
  settings().multiprocessors = 5;
  settings().blocks_of_multiprocessor = 2;
  constexpr std::size_t kMost = std::size_t{227} << 10;
  for (const std::size_t bytes : {std::size_t{4}, kSharedBytes, kSharedBytes + 4, kMost}) {
    const std::int64_t blocks = blocks_at_once("sum", sum_kernel, 64, bytes);
    CHECK(blocks == (bytes == kMost ? 5 : 10));
    const DeviceArray<int> sums(16);
    sum(blocks, bytes, sums);
    std::vector<int> expected(16, -1);
    std::fill_n(expected.begin(), blocks, static_cast<int>(blocks * (blocks + 1) / 2));
    CHECK(sums.read() == expected);
    CHECK_THROWS_WITH(sum(blocks + 1, bytes, sums),
                      Contains("the launch of sum failed: too many blocks in cooperative launch"));
    CHECK(cudaGetLastError() == cudaSuccess);
  }
}

TEST_CASE(
    "cuda: no block lives beside others where the device has no cooperative launch, or too little memory") {
  const cuda_emulation::WithSettings restored;
  CHECK(blocks_at_once("sum", sum_kernel, 64, (std::size_t{227} << 10) + 1) == 0);
  CHECK(blocks_at_once("sum", sum_kernel, 64, 4) == 3);
  settings().shared_optin = std::size_t{99} << 10;
  CHECK(blocks_at_once("sum", sum_kernel, 64, (std::size_t{99} << 10) + 1) == 0);
  settings().cooperative_launch = false;
  CHECK(blocks_at_once("sum", sum_kernel, 64, 4) == 0);
  settings().device_count = 0;
  CHECK_THROWS_WITH(blocks_at_once("sum", sum_kernel, 64, 4),
                    Contains("of sum failed: no CUDA-capable device"));
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("cuda: a shape that no device takes is refused before the launch") {
  CHECK_THROWS_WITH(
      launch_cooperative("sum", sum_kernel, LaunchShape{1, 1, 1, 1025, 0}, nullptr, nullptr, nullptr, 0),
      Contains("cuda: no device takes the launch of sum"));
}

}  // namespace
}  // namespace plumbline::native::cuda::testing
