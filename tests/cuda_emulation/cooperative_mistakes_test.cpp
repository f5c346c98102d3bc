// Grids with one mistake each at their barrier: each is an error of the launch.
#include <cooperative_groups.h>

#include <string>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

namespace cg = cooperative_groups;
using Catch::Matchers::Contains;
using native::cuda::emulated_shared_memory;

__global__ void grid_kernel(int* out) {
  cg::this_grid().sync();
  if (out != nullptr) *out = 1;
}
int* const none = nullptr;

__global__ void absent_block_kernel(unsigned absent, int barriers) {
  for (int i = 0; i < barriers; ++i) cg::this_grid().sync();
  if (blockIdx.x == absent) return;
  cg::this_grid().sync();
}
__global__ void absent_thread_kernel(unsigned absent) {
  if (threadIdx.x != absent) cg::this_grid().sync();
}
__global__ void absent_before_barrier_kernel(unsigned absent) {
  if (threadIdx.x != absent) cg::this_grid().barrier_arrive();
  __syncthreads();
}
__global__ void mixed_barriers_kernel() {
  if (threadIdx.x % 32 < 16) {
    cg::this_grid().sync();
  } else {
    __syncthreads();
  }
}
__global__ void twice_kernel() {
  auto first = cg::this_grid().barrier_arrive();
  auto second = cg::this_grid().barrier_arrive();
  cg::this_grid().barrier_wait(std::move(first));
  cg::this_grid().barrier_wait(std::move(second));
}
__global__ void no_arrival_kernel() {
  cg::this_grid().barrier_wait(0);
}
__global__ void other_token_kernel() {
  auto token = cg::this_grid().barrier_arrive();
  cg::this_grid().barrier_wait(token + 1);
}
__global__ void no_wait_kernel() {
  cg::this_grid().barrier_arrive();
}
__global__ void collective_kernel() {
  if (threadIdx.x == 5) cg::this_grid().sync();
  __syncwarp();
}
__global__ void trap_kernel() {
  cg::this_grid().sync();
  if (blockIdx.x == 1 && threadIdx.x == 2) __trap();
  cg::this_grid().sync();
}

struct Mistake {
  const char* what;
  void (*launch)(std::string* failure);
  std::vector<std::string> told;
};

const std::vector<Mistake>& mistakes() {
  static const std::vector<Mistake> all = {
      {"a block that returns early",
       [](std::string* f) {
         *f = failure_of(run_cooperative({3, 64}, absent_block_kernel, 1u, 0));
       },
       {"kernel", "absent_block_kernel", "not reached by all blocks",
        "of 3 blocks 2 wait there, 1 have returned", "block (0,0,0) waits there",
        "block (1,0,0) has returned"}},
      {"one that returns after some barriers",
       [](std::string* f) {
         *f = failure_of(run_cooperative({3, 64}, absent_block_kernel, 2u, 3));
       },
       {"of 3 blocks 2 wait there", "block (2,0,0) has returned"}},
      {"a thread that returns early",
       [](std::string* f) {
         *f = failure_of(run_cooperative({3, 64}, absent_thread_kernel, 33u));
       },
       {"absent_thread_kernel", "grid's barrier is not reached by all threads", "of 64 threads",
        "63 at the grid's barrier", "thread (33,0,0) has returned"}},
      {"a thread that does not arrive before a barrier of its block",
       [](std::string* f) {
         *f = failure_of(run_cooperative({3, 64}, absent_before_barrier_kernel, 40u));
       },
       {"grid's barrier is not reached by all threads"}},
      {"threads at two barriers",
       [](std::string* f) {
         *f = failure_of(run_cooperative({2, 32}, mixed_barriers_kernel));
       },
       {"not reached by all threads", "16 wait at __syncthreads()", "16 at the grid's barrier",
        "thread (0,0,0) waits at the grid's barrier"}},
      {"no wait between",
       [](std::string* f) {
         *f = failure_of(run_cooperative({2, 32}, twice_kernel));
       },
       {"twice_kernel", "arrives at the grid's barrier again"}},
      {"no arrival",
       [](std::string* f) {
         *f = failure_of(run_cooperative({2, 32}, no_arrival_kernel));
       },
       {"has not arrived there"}},
      {"the token of another phase",
       [](std::string* f) {
         *f = failure_of(run_cooperative({2, 32}, other_token_kernel));
       },
       {"another token"}},
      {"no wait at all",
       [](std::string* f) {
         *f = failure_of(run_cooperative({2, 32}, no_wait_kernel));
       },
       {"without having waited at the grid's barrier"}},
      {"a collective that lacks a lane",
       [](std::string* f) {
         *f = failure_of(run_cooperative({2, 32}, collective_kernel));
       },
       {"lacks lanes", "thread (5,0,0) waits at the grid's barrier"}},
      {"a trap",
       [](std::string* f) {
         *f = failure_of(run_cooperative({3, 32}, trap_kernel));
       },
       {"block (1,0,0): thread (2,0,0) trapped"}},
      {"a launch that is not cooperative",
       [](std::string* f) {
         *f = failure_of(run({2, 32}, grid_kernel, none));
       },
       {"grid_kernel", "a launch that is not cooperative"}},
  };
  return all;
}

TEST_CASE("cuda emulation: a grid's barrier that something never reaches is an error by name, and no hang") {
  for (const Mistake& mistake : mistakes()) {
    for (const auto& [order, seed] : all_orders()) {
      INFO(mistake.what << ", order " << static_cast<int>(order) << ", seed " << seed);
      const Fresh fresh;
      settings().order = order;
      settings().seed = seed;
      std::string told;
      mistake.launch(&told);
      for (const std::string& part : mistake.told) CHECK_THAT(told, Contains(part));
      // After a reset blocks run again.
      REQUIRE(cudaDeviceReset() == cudaSuccess);
      int* out = on_device(std::vector<int>{0});
      REQUIRE(run_cooperative({3, 96}, grid_kernel, out) == cudaSuccess);
      CHECK(from_device(out, 1)[0] == 1);
    }
  }
}

__global__ void overflow_kernel(unsigned block, int phase) {
  for (int i = 0; i < 3; ++i) {
    if (i == phase && blockIdx.x == block) emulated_shared_memory<volatile char>()[100] = 1;
    cg::this_grid().sync();
  }
}

TEST_CASE("cuda emulation: a write beyond a block's shared memory is told by block, in each of its turns") {
  for (int phase = 0; phase < 3; ++phase) {
    const auto write = [&] {
      const Fresh fresh;
      return failure_of(run_cooperative({3, 32, 100}, overflow_kernel, 1u, phase));
    };
    if (kAddressSanitizer) {
      CHECK(kills(write));
    } else {
      CHECK_THAT(write(), Contains("block (1,0,0) wrote beyond its 100 bytes"));
    }
  }
}

}  // namespace
}  // namespace plumbline::cuda_emulation
