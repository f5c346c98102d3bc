// Blocks, threads and barriers, and the orders in which they run.
#include <algorithm>
#include <numeric>
#include <set>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

using native::cuda::emulated_shared_memory;

constexpr unsigned kAll = 0xffffffffu;

__global__ void coordinates_kernel(int* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned at = block * blockDim.x * blockDim.y * blockDim.z + thread;
  const bool in_block = threadIdx.x < blockDim.x && threadIdx.y < blockDim.y && threadIdx.z < blockDim.z;
  const bool in_grid = blockIdx.x < gridDim.x && blockIdx.y < gridDim.y && blockIdx.z < gridDim.z;
  out[at] = in_block && in_grid ? static_cast<int>(at) + 1 : -1;
}

// Sums of warps, then of the block: what most kernels of the engine are made of.
__global__ void __launch_bounds__(256)
    sum_kernel(const float* __restrict__ in, int count, float* __restrict__ out) {
  float* partial = emulated_shared_memory<float>();
  float sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += __ldg(in + blockIdx.x * count + i);
#pragma unroll
  for (int half = 16; half > 0; half /= 2) sum += __shfl_xor_sync(kAll, sum, half);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned w = 1; w < blockDim.x / 32; ++w) sum += partial[w];
  out[blockIdx.x] = sum;
}

// Each thread reads what another one wrote, around the block, many times.
__global__ void rotate_kernel(int* values, int rounds, bool with_barrier) {
  int* shared = emulated_shared_memory<int>();
  shared[threadIdx.x] = values[threadIdx.x];
  for (int round = 0; round < rounds; ++round) {
    __syncthreads();
    const int next = shared[(threadIdx.x + 1) % blockDim.x];
    if (with_barrier) __syncthreads();
    shared[threadIdx.x] = next;
  }
  values[threadIdx.x] = shared[threadIdx.x];
}

std::vector<int> counted(int count) {
  std::vector<int> values(count);
  std::iota(values.begin(), values.end(), 0);
  return values;
}

TEST_CASE("cuda emulation: every thread of every block runs once, with its own coordinates, in every order") {
  for (const auto& [order, seed] : all_orders()) {
    const Fresh fresh;
    settings().order = order;
    settings().seed = seed;
    const dim3 grid(3, 5, 2), block(7, 3, 4);
    const int count = 3 * 5 * 2 * 7 * 3 * 4;
    int* out = on_device(std::vector<int>(count, 0));
    REQUIRE(run({grid, block}, coordinates_kernel, out) == cudaSuccess);
    std::vector<int> expected(count);
    std::iota(expected.begin(), expected.end(), 1);
    CHECK(from_device(out, count) == expected);
    CHECK(counters().blocks_run == 30);
  }
}

__global__ void turns_kernel(int* turn, int* turns) {
  __syncwarp();
  turns[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(turn, 1);
}

// Which turn each thread of two blocks of two warps had.
std::vector<int> turns(Order order, unsigned seed) {
  const Fresh fresh;
  settings().order = order;
  settings().seed = seed;
  int* out = on_device<int>(128);
  REQUIRE(run({2, 64}, turns_kernel, on_device(std::vector<int>{0}), out) == cudaSuccess);
  return from_device(out, 128);
}

TEST_CASE("cuda emulation: blocks and threads take turns in the order that is asked for") {
  std::vector<int> order = counted(128);
  CHECK(turns(Order::ascending, 1) == order);
  std::reverse(order.begin(), order.end());
  CHECK(turns(Order::descending, 1) == order);
  const std::vector<int> once = turns(Order::shuffled, 1);
  CHECK(once == turns(Order::shuffled, 1));
  CHECK(once != turns(Order::shuffled, 2));
  CHECK(std::set<int>(once.begin(), once.end()).size() == 128);
  CHECK_FALSE(std::is_sorted(once.begin(), once.begin() + 32));
}

TEST_CASE("cuda emulation: a sum over a block has the same bits in every order") {
  std::vector<float> in(4 * 1000);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = 1.0f / static_cast<float>(i + 1);
  std::set<std::vector<float>> results;
  for (const auto& [order, seed] : all_orders()) {
    const Fresh fresh;
    settings().order = order;
    settings().seed = seed;
    auto* out = on_device<float>(4);
    REQUIRE(run({4, 256, 8 * sizeof(float)}, sum_kernel, on_device(in), 1000, out) == cudaSuccess);
    results.insert(from_device(out, 4));
  }
  REQUIRE(results.size() == 1);
  const double exact = std::accumulate(in.begin(), in.begin() + 1000, 0.0);
  CHECK((*results.begin())[0] == Approx(exact));
}

TEST_CASE("cuda emulation: a missing barrier shows as other bits in another order") {
  const auto after = [](Order order, unsigned seed, bool with_barrier) {
    const Fresh fresh;
    settings().order = order;
    settings().seed = seed;
    int* values = on_device(counted(96));
    REQUIRE(run({1, 96, 96 * sizeof(int)}, rotate_kernel, values, 5, with_barrier) == cudaSuccess);
    return from_device(values, 96);
  };
  std::set<std::vector<int>> right, racing;
  for (const auto& [order, seed] : all_orders()) {
    right.insert(after(order, seed, true));
    racing.insert(after(order, seed, false));
  }
  REQUIRE(right.size() == 1);
  CHECK((*right.begin())[0] == 5);
  CHECK((*right.begin())[95] == 4);
  CHECK(racing.size() > 1);
}

__global__ void racing_sum_kernel(const float* in, float* out) {
  atomicAdd(out, in[blockIdx.x * blockDim.x + threadIdx.x]);
}

TEST_CASE("cuda emulation: a sum of floats by atomics depends on the order") {
  std::vector<float> in(512);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = 1.0f / static_cast<float>(i + 1);
  std::set<float> results;
  for (const auto& [order, seed] : all_orders()) {
    const Fresh fresh;
    settings().order = order;
    settings().seed = seed;
    float* out = on_device(std::vector<float>{0.0f});
    REQUIRE(run({4, 128}, racing_sum_kernel, on_device(in), out) == cudaSuccess);
    results.insert(from_device(out, 1)[0]);
  }
  CHECK(results.size() > 1);
}

}  // namespace
}  // namespace plumbline::cuda_emulation
