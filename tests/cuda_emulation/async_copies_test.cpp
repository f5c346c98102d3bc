// Copies into shared memory that a thread does not wait for.
#include <cuda_pipeline.h>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

using Catch::Matchers::Contains;
using native::cuda::emulated_shared_memory;

constexpr unsigned kThreads = 64;
constexpr std::size_t kShared = kThreads * 16;

// Each thread's four words, and what it sees of them: at once, after a wait without a commit, after a wait.
__global__ void seen_kernel(const int* from, int* seen) {
  int* own = emulated_shared_memory<int>() + 4 * threadIdx.x;
  __pipeline_memcpy_async(own, from + 4 * threadIdx.x, 16);
  int* to = seen + 3 * threadIdx.x;
  to[0] = own[3];
  __pipeline_wait_prior(0);
  to[1] = own[3];
  __pipeline_commit();
  __pipeline_wait_prior(0);
  to[2] = own[3];
}

// Another thread's words behind a barrier, where each has waited for its own, or has not.
__global__ void neighbour_kernel(const int* from, int* seen, bool waits) {
  int* all = emulated_shared_memory<int>();
  __pipeline_memcpy_async(all + 4 * threadIdx.x, from + 4 * threadIdx.x, 16);
  __pipeline_commit();
  if (waits) __pipeline_wait_prior(0);
  __syncthreads();
  seen[threadIdx.x] = all[4 * ((threadIdx.x + 1) % kThreads) + 1];
  __syncthreads();
  __pipeline_wait_prior(0);
}

// The source changes while the copy is on its way.
__global__ void overwritten_kernel(int* from, int* seen) {
  int* own = emulated_shared_memory<int>();
  __pipeline_memcpy_async(own, from, 16);
  __pipeline_commit();
  from[0] = -7;
  __pipeline_wait_prior(0);
  seen[0] = own[0];
}

__global__ void misplaced_kernel(const int* from, int offset) {
  __pipeline_memcpy_async(emulated_shared_memory<int>(), from + offset, 16);
}
__global__ void not_shared_kernel(const int* from, int* to) {
  __pipeline_memcpy_async(to, from, 16);
}

std::vector<int> some_words() {
  std::vector<int> words(4 * kThreads);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<int>(i);
  return words;
}

}  // namespace

TEST_CASE("emulation: an asynchronous copy arrives when its thread has committed it and waits") {
  const Fresh fresh;
  const bool lazy = GENERATE(true, false);
  settings().lazy = lazy;
  int* seen = on_device<int>(3 * kThreads);
  REQUIRE(run({{1}, {kThreads}, kShared}, seen_kernel, static_cast<const int*>(on_device(some_words())),
              seen) == cudaSuccess);
  const auto got = from_device(seen, 3 * kThreads);
  for (int thread = 0; thread < static_cast<int>(kThreads); ++thread) {
    const int word = 4 * thread + 3, early = lazy ? -1 : word;  // 0xFF bytes
    const auto at = static_cast<std::size_t>(3 * thread);
    CHECK(got[at] == early);
    CHECK(got[at + 1] == early);
    CHECK(got[at + 2] == word);
  }
}

TEST_CASE("emulation: a barrier does not wait for asynchronous copies") {
  const Fresh fresh;
  int* seen = on_device<int>(kThreads);
  const int* from = on_device(some_words());
  for (const bool waits : {true, false}) {
    REQUIRE(run({{1}, {kThreads}, kShared}, neighbour_kernel, from, seen, waits) == cudaSuccess);
    const auto got = from_device(seen, kThreads);
    for (unsigned thread = 0; thread < kThreads; ++thread) {
      const int word = static_cast<int>(4 * ((thread + 1) % kThreads) + 1);
      CHECK(got[thread] == (waits ? word : -1));
    }
  }
}

TEST_CASE("emulation: what an asynchronous copy reads may not change meanwhile") {
  const Fresh fresh;
  const bool lazy = GENERATE(true, false);
  settings().lazy = lazy;
  int* seen = on_device<int>(1);
  REQUIRE(run({{1}, {1}, kShared}, overwritten_kernel, on_device(some_words()), seen) == cudaSuccess);
  CHECK(from_device(seen, 1).front() == (lazy ? -7 : 0));
}

TEST_CASE("emulation: asynchronous copies that a device refuses") {
  const Fresh fresh;
  const int* from = on_device(some_words());
  SECTION("misplaced") {
    CHECK_THAT(failure_of(run({{1}, {1}, kShared}, misplaced_kernel, from, 1)), Contains("16 bytes"));
  }
  SECTION("to no shared memory") {
    int* to = on_device<int>(4);
    CHECK_THAT(failure_of(run({{1}, {1}, kShared}, not_shared_kernel, from, to)),
               Contains("no shared memory"));
  }
}

}  // namespace plumbline::cuda_emulation
