// Kernels with one mistake each in their barriers and collectives: each is an error of the launch.
#include <string>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

constexpr unsigned kAll = 0xffffffffu;

__global__ void unequal_barrier_kernel(int threads_that_leave) {
  if (static_cast<int>(threadIdx.x) < threads_that_leave) return;
  __syncthreads();
}
__global__ void half_barrier_kernel() {
  if (threadIdx.x < 32) __syncthreads();
  if (threadIdx.x >= 32) __shfl_sync(0xffffu, 1, 0);  // of a lane in the upper half
}
__global__ void lane_missing_kernel(int* out) {
  if (threadIdx.x % 32 != 7) out[threadIdx.x] = __shfl_xor_sync(kAll, static_cast<int>(threadIdx.x), 1);
}
__global__ void different_collectives_kernel() {
  if (threadIdx.x < 16) {
    __ballot_sync(kAll, 1);
  } else {
    __syncwarp();
  }
}
__global__ void collective_in_loop_kernel(int* out) {  // the lanes take different numbers of turns
  for (unsigned i = 0; i <= threadIdx.x / 16; ++i) out[threadIdx.x] = __any_sync(kAll, 1);
}
__global__ void outside_the_mask_kernel(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1, 20);
}

TEST_CASE(
    "cuda emulation: what some threads never reach is an error that names kernel and threads, and no hang") {
  using Catch::Matchers::Contains;
  const Fresh fresh;
  int* out = on_device<int>(64);
  SECTION("a barrier that some threads returned before") {
    CHECK_THAT(failure_of(run({1, 64}, unequal_barrier_kernel, 3)),
               Contains("unequal_barrier_kernel") && Contains("of 64 threads 61 wait at __syncthreads()") &&
                   Contains("3 have returned") && Contains("thread (0,0,0) has returned"));
  }
  SECTION("all but one thread return") {
    CHECK_THAT(failure_of(run({1, 64}, unequal_barrier_kernel, 63)), Contains("63 have returned"));
  }
  SECTION("a barrier for one warp, and a lane outside of its own mask") {
    CHECK_THAT(failure_of(run({1, 64}, half_barrier_kernel)), Contains("not in the mask"));
  }
  SECTION("a lane that does not come") {
    CHECK_THAT(failure_of(run({1, 64}, lane_missing_kernel, out)),
               Contains("lane_missing_kernel") && Contains("lacks lanes") && Contains("31 in collectives"));
  }
  SECTION("lanes in different collectives") {
    CHECK_THAT(failure_of(run({1, 32}, different_collectives_kernel)), Contains("lacks lanes"));
  }
  SECTION("lanes that leave a loop early") {
    CHECK_THAT(failure_of(run({1, 32}, collective_in_loop_kernel, out)), Contains("lacks lanes"));
  }
  SECTION("a shuffle from a lane that is not in the mask") {
    CHECK_THAT(failure_of(run({1, 32}, outside_the_mask_kernel, out)), Contains("shuffles from a lane"));
  }
  // The context is lost, as on a device, until the device is reset; then blocks run again.
  CHECK(run({1, 32}, unequal_barrier_kernel, 0) == cudaErrorLaunchFailure);
  CHECK(cudaDeviceReset() == cudaSuccess);
  CHECK(run({2, 96}, unequal_barrier_kernel, 0) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

}  // namespace
}  // namespace plumbline::cuda_emulation
