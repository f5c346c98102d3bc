// Shared memory, device memory, pinned memory and copies: what is uninitialised, what is too much, what is
// gone.
#include <cmath>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

using native::cuda::emulated_shared_memory;

__global__ void unwritten_kernel(float* out) {
  const float* shared = emulated_shared_memory<float>();
  out[blockIdx.x * blockDim.x + threadIdx.x] = shared[threadIdx.x];
  emulated_shared_memory<float>()[threadIdx.x] = 1.0f;
}

TEST_CASE("cuda emulation: shared memory and device memory that nobody wrote hold NaN, in every block") {
  const Fresh fresh;
  auto* out = on_device<float>(8);
  for (const float value : from_device(out, 8)) CHECK(std::isnan(value));
  REQUIRE(run({2, 4, 16}, unwritten_kernel, out) == cudaSuccess);
  for (const float value : from_device(out, 8)) CHECK(std::isnan(value));
}

__global__ void write_shared_kernel(int at) {
  if (blockIdx.x == 1) emulated_shared_memory<float>()[at] = 1.0f;
}

TEST_CASE("cuda emulation: a write beyond a block's shared memory is seen") {
  for (const int at : {16, 40, 30000}) {
    const Fresh fresh;
    const auto launch_and_wait = [at] {
      REQUIRE(run({3, 1, 64}, write_shared_kernel, at) == cudaSuccess);
      return cudaDeviceSynchronize();
    };
    if (kAddressSanitizer) {
      CHECK(kills(launch_and_wait));
      continue;
    }
    CHECK(launch_and_wait() == cudaErrorLaunchFailure);
    if (at < 256) CHECK_THAT(failure(), Catch::Matchers::Contains("block (1,0,0)"));
    CHECK_THAT(failure(), Catch::Matchers::Contains("beyond its 64 bytes of shared memory"));
    REQUIRE(cudaDeviceReset() == cudaSuccess);
    REQUIRE(run({3, 1, 64}, write_shared_kernel, 15) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
  }
}

__global__ void write_kernel(float* out, int at) {
  out[at] = 1.0f;
}

TEST_CASE("cuda emulation: what a device cannot reach") {
  const Fresh fresh;
  std::vector<float> host(4);
  auto* device = on_device<float>(4);
  SECTION("a kernel's argument that points to the host's memory") {
    REQUIRE(run({1, 1}, write_kernel, host.data(), 0) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    CHECK_THAT(failure(), Catch::Matchers::Contains("write_kernel") && Catch::Matchers::Contains("host"));
  }
  SECTION("a pointer to freed memory") {
    REQUIRE(cudaFree(device) == cudaSuccess);
    REQUIRE(run({1, 1}, write_kernel, device, 0) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  }
  SECTION("copies in the wrong direction, and longer than the block") {
    CHECK(cudaMemcpy(device, host.data(), 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    CHECK(cudaMemcpy(host.data(), device, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    CHECK(cudaMemcpy(device, host.data(), 17, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    CHECK(cudaMemcpy(device + 3, host.data(), 8, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    CHECK(cudaMemset(device + 3, 0, 5) == cudaErrorInvalidValue);
    CHECK(cudaMemset(host.data(), 0, 4) == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaSuccess);
  }
  SECTION("a copy over itself") {
    REQUIRE(cudaMemcpy(device, device + 1, 12, cudaMemcpyDeviceToDevice) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  }
  SECTION("memory that is freed twice") {
    REQUIRE(cudaFree(device) == cudaSuccess);
    CHECK(cudaFree(device) == cudaErrorInvalidValue);
    CHECK(cudaFree(nullptr) == cudaSuccess);
  }
}

TEST_CASE("cuda emulation: AddressSanitizer sees what goes beyond a block, and the host in device memory") {
  const Fresh fresh;
  auto* device = on_device<float>(4);
  const auto write_at = [&](int at) {
    static_cast<void>(run({1, 1}, write_kernel, device, at));
    static_cast<void>(cudaDeviceSynchronize());
  };
  CHECK_FALSE(kills([&] { write_at(3); }));
  if (!kAddressSanitizer) return;
  CHECK(kills([&] { write_at(4); }));
  CHECK(kills([&] { write_at(-1); }));
  CHECK(kills([&] { *static_cast<volatile float*>(device) = 1.0f; }));
}

TEST_CASE("cuda emulation: copies of rows") {
  const Fresh fresh;
  const std::vector<int> host = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  int* device = on_device(std::vector<int>(12, 0));
  // The middle two of four columns, to the first two of four.
  REQUIRE(cudaMemcpy2D(device, 16, host.data() + 1, 16, 8, 3, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(from_device(device, 12) == std::vector<int>{2, 3, 0, 0, 6, 7, 0, 0, 10, 11, 0, 0});
  // Rows that interleave without a byte in common.
  REQUIRE(cudaMemcpy2DAsync(device + 2, 16, device, 16, 8, 3, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(from_device(device, 12) == std::vector<int>{2, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11});
  std::vector<int> back(4, 0);
  REQUIRE(cudaMemcpy2D(back.data(), 8, device + 4, 16, 8, 2, cudaMemcpyDefault) == cudaSuccess);
  CHECK(back == std::vector<int>{6, 7, 10, 11});
  CHECK(cudaMemcpy2D(device, 4, host.data(), 16, 8, 2, cudaMemcpyHostToDevice) == cudaErrorInvalidPitchValue);
  CHECK(counters().copies_on_device == 1);
  CHECK(counters().bytes_on_device == 24);
  REQUIRE(cudaMemset(device, 0, 8) == cudaSuccess);
  CHECK(from_device(device, 3) == std::vector<int>{0, 0, 2});
}

TEST_CASE("cuda emulation: device memory is what the settings say") {
  const Fresh fresh;
  settings().device_memory = 1000;
  void* first = nullptr;
  void* second = nullptr;
  REQUIRE(cudaMalloc(&first, 600) == cudaSuccess);
  CHECK(cudaMalloc(&second, 401) == cudaErrorMemoryAllocation);
  CHECK(second == nullptr);
  std::size_t available = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&available, &total) == cudaSuccess);
  CHECK(available == 400);
  CHECK(total == 1000);
  CHECK(held().device_bytes == 600);
  REQUIRE(cudaMalloc(&second, 400) == cudaSuccess);
  REQUIRE(cudaFree(first) == cudaSuccess);
  REQUIRE(cudaFree(second) == cudaSuccess);
  CHECK(held().device_blocks == 0);
  CHECK(counters().device_allocations == 2);
}

}  // namespace
}  // namespace plumbline::cuda_emulation
