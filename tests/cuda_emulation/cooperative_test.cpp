// Grids whose blocks live at once and wait for each other.
#include <cooperative_groups.h>

#include <numeric>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

using native::cuda::emulated_shared_memory;
namespace cg = cooperative_groups;

// After every barrier each thread must find all threads counted.
__global__ void counting_kernel(int phases, int* counted, int* seen) {
  const cg::grid_group grid = cg::this_grid();
  const auto threads = static_cast<int>(grid.num_threads());
  for (int phase = 0; phase < phases; ++phase) {
    atomicAdd(counted, 1);
    grid.sync();
    if (*counted == threads * (phase + 1)) ++seen[grid.thread_rank()];
    grid.sync();
  }
}

TEST_CASE(
    "cuda emulation: no thread leaves the grid's barrier before all threads have come, in every order") {
  for (const auto& order : all_orders()) {
    const Fresh fresh;
    set_device(12, order);
    int* seen = on_device(std::vector<int>(12 * 42, 0));
    REQUIRE(run_cooperative({dim3(2, 3, 2), dim3(7, 3, 2)}, counting_kernel, 5,
                            on_device(std::vector<int>{0}), seen) == cudaSuccess);
    CHECK(from_device(seen, 12 * 42) == std::vector<int>(12 * 42, 5));
    CHECK(counters().blocks_run == 12);
    CHECK(counters().kernels_run == 1);
  }
}

__global__ void coordinates_kernel(unsigned long long* out) {
  const cg::grid_group grid = cg::this_grid();
  const unsigned at = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const bool same = grid.num_blocks() == 12 && grid.num_threads() == 504 && grid.size() == 504 &&
                    grid.thread_rank() == grid.block_rank() * 42 + at && grid.is_valid() &&
                    grid.dim_blocks().y == 3 && grid.block_index().z == blockIdx.z;
  grid.sync();  // its own coordinates are a thread's again afterwards
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  out[block * 42 + threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)] =
      same ? grid.thread_rank() : 0;
}

TEST_CASE("cuda emulation: ranks in a grid") {
  for (const auto& order : all_orders()) {
    const Fresh fresh;
    set_device(12, order);
    auto* out = on_device<unsigned long long>(504);
    REQUIRE(run_cooperative({dim3(2, 3, 2), dim3(7, 3, 2)}, coordinates_kernel, out) == cudaSuccess);
    std::vector<unsigned long long> expected(504);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(from_device(out, 504) == expected);
  }
}

// Halves the number of values again and again; each sum is of another block's results.
__global__ void reduction_kernel(float* values, int count) {
  const cg::grid_group grid = cg::this_grid();
  const auto rank = static_cast<int>(grid.thread_rank());
  for (int half = count / 2; half > 0; half /= 2) {
    if (rank < half) values[rank] += values[rank + half];
    grid.barrier_wait(grid.barrier_arrive());
  }
}

TEST_CASE("cuda emulation: a reduction over several phases has the bits of its tree in every order") {
  std::vector<float> values(256);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1.0f / static_cast<float>(i + 1);
  std::vector<float> expected = values;
  for (int half = 128; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) expected[i] += expected[i + half];
  }
  for (const auto& order : all_orders()) {
    for (const bool lazy : {true, false}) {
      const Fresh fresh;
      set_device(4, order);
      settings().lazy = lazy;
      float* device = on_device(values);
      REQUIRE(run_cooperative({4, 64}, reduction_kernel, device, 256) == cudaSuccess);
      if (lazy) CHECK(counters().kernels_run == 0);
      CHECK(from_device(device, 256) == expected);
    }
  }
}

// Each block keeps a sum in its shared memory over all barriers, and in registers.
__global__ void shared_kernel(int phases, int* out, int* fresh) {
  const cg::grid_group grid = cg::this_grid();
  int* shared = emulated_shared_memory<int>();
  const auto rank = static_cast<int>(grid.block_rank());
  fresh[grid.thread_rank()] = shared[threadIdx.x];
  __syncthreads();
  shared[threadIdx.x] = 1000 * rank + static_cast<int>(threadIdx.x);
  int own = 0;
  for (int phase = 0; phase < phases; ++phase) {
    auto token = grid.barrier_arrive();
    __syncthreads();
    own += shared[(threadIdx.x + 1) % blockDim.x];
    __syncthreads();
    grid.barrier_wait(std::move(token));
    shared[threadIdx.x] = own;
  }
  out[grid.thread_rank()] = own;
}

TEST_CASE(
    "cuda emulation: each block has its own shared memory over barriers, and its own barriers between") {
  for (const auto& order : all_orders()) {
    const Fresh fresh_device;
    set_device(3, order);
    int* out = on_device<int>(3 * 40);
    int* fresh = on_device<int>(3 * 40);
    REQUIRE(run_cooperative({3, 40, 160}, shared_kernel, 2, out, fresh) == cudaSuccess);
    CHECK(from_device(fresh, 120) == std::vector<int>(120, -1));
    std::vector<int> expected;
    for (int i = 0; i < 120; ++i) {
      const auto first = [&](int thread) { return 1000 * (i / 40) + thread % 40; };
      expected.push_back(first(i % 40 + 1) + first(i % 40 + 2));
    }
    CHECK(from_device(out, 120) == expected);
  }
}

TEST_CASE("cuda emulation: a cooperative launch is captured, and each launch of the graph runs it") {
  for (const bool lazy : {true, false}) {
    const Fresh fresh;
    settings().lazy = lazy;
    int* counted = on_device(std::vector<int>{0});
    int* seen = on_device(std::vector<int>(12, 0));
    const cudaStream_t stream = new_stream();
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    REQUIRE(run_cooperative({3, 4, 0, stream}, counting_kernel, 1, counted, seen) == cudaSuccess);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
    CHECK(counters().kernels_run == 0);
    for (int launched = 1; launched <= 2; ++launched) {
      REQUIRE(cudaMemsetAsync(counted, 0, sizeof(int), stream) == cudaSuccess);
      REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
      REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
      CHECK(from_device(seen, 12) == std::vector<int>(12, launched));
    }
  }
}

}  // namespace
}  // namespace plumbline::cuda_emulation
