// What the device says of itself, the limits of launches, and mistakes that a test asks for.
#include <cstdlib>
#include <string>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

__global__ void nothing_kernel(int* out) {
  if (out != nullptr) *out = 1;
}
int* const none = nullptr;

TEST_CASE("cuda emulation: the device never says that it is a GPU") {
  const Fresh fresh;
  cudaDeviceProp properties;
  REQUIRE(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(std::string(properties.name) == "emulated on the host");
  int value = 0;
  REQUIRE(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0) == cudaSuccess);
  CHECK(value == static_cast<int>(properties.sharedMemPerBlockOptin));
  REQUIRE(cudaDeviceGetAttribute(&value, cudaDevAttrMaxGridDimY, 0) == cudaSuccess);
  CHECK(value == 65535);
  CHECK(cudaGetDeviceProperties(&properties, 1) == cudaErrorInvalidDevice);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
}

TEST_CASE("cuda emulation: launches that no device takes are refused by the call") {
  const Fresh fresh;
  for (const dim3 bad : {dim3(0), dim3(1, 0), dim3(1, 1, 0), dim3(1025), dim3(32, 33), dim3(1, 1, 65)}) {
    CHECK(run({1, bad}, nothing_kernel, none) == cudaErrorInvalidConfiguration);
  }
  for (const dim3 bad : {dim3(0), dim3(1, 65536), dim3(1, 1, 65536), dim3(0x80000000u)}) {
    CHECK(run({bad, 1}, nothing_kernel, none) == cudaErrorInvalidConfiguration);
  }
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(run({1, dim3(16, 1, 64)}, nothing_kernel, none) == cudaSuccess);
  CHECK(run({dim3(1, 2000, 2), 1}, nothing_kernel, none) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(counters().launches == 2);
}

TEST_CASE("cuda emulation: shared memory beyond 48 KiB has to be asked for, and ends at the device's own") {
  const Fresh fresh;
  constexpr std::size_t kOptIn = 227 * 1024;
  CHECK(run({1, 1, 48 * 1024}, nothing_kernel, none) == cudaSuccess);
  CHECK(run({1, 1, 48 * 1024 + 1}, nothing_kernel, none) == cudaErrorInvalidValue);
  constexpr auto kAttribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  CHECK(cudaFuncSetAttribute(nothing_kernel, kAttribute, kOptIn + 1) == cudaErrorInvalidValue);
  REQUIRE(cudaFuncSetAttribute(nothing_kernel, kAttribute, kOptIn) == cudaSuccess);
  CHECK(run({1, 1, kOptIn}, nothing_kernel, none) == cudaSuccess);
  CHECK(run({1, 1, kOptIn + 1}, nothing_kernel, none) == cudaErrorInvalidValue);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  cudaFuncAttributes attributes;
  REQUIRE(cudaFuncGetAttributes(&attributes, nothing_kernel) == cudaSuccess);
  CHECK(attributes.maxDynamicSharedSizeBytes == static_cast<int>(kOptIn));
}

TEST_CASE("cuda emulation: no device, an old driver, an old device") {
  const Fresh fresh;
  int count = -1;
  void* memory = nullptr;
  cudaFuncAttributes attributes;
  SECTION("no device") {
    settings().device_count = 0;
    CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
    CHECK(count == 0);
    CHECK(cudaMalloc(&memory, 4) == cudaErrorNoDevice);
  }
  SECTION("an old driver") {
    settings().driver_version = 12040;
    CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
    int version = 0;
    REQUIRE(cudaDriverGetVersion(&version) == cudaSuccess);
    CHECK(version == 12040);
  }
  SECTION("an old device") {
    settings().compute_major = 7;
    CHECK(run({1, 1}, nothing_kernel, none) == cudaErrorNoKernelImageForDevice);
    CHECK(cudaFuncGetAttributes(&attributes, nothing_kernel) == cudaErrorNoKernelImageForDevice);
  }
}

TEST_CASE("cuda emulation: a launch that a test wants to fail fails when it runs, by its kernel's name") {
  const Fresh fresh;
  settings().fail_kernel = "nothing_kernel";
  CHECK(run({1, 1}, nothing_kernel, none) == cudaSuccess);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  CHECK_THAT(cudaGetErrorString(cudaErrorLaunchFailure), Catch::Matchers::Contains("nothing_kernel"));
  CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
  CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
}

TEST_CASE("cuda emulation: after a lost context memory and handles can still be given back") {
  const Fresh fresh;
  int* memory = on_device<int>(1);
  const cudaStream_t stream = new_stream();
  settings().fail_kernel = "nothing";
  REQUIRE(run({1, 1, 0, stream}, nothing_kernel, memory) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
  CHECK(cudaFree(memory) == cudaErrorLaunchFailure);
  static_cast<void>(cudaStreamDestroy(stream));
  CHECK(held().device_blocks == 0);
  CHECK(held().streams == 0);
}

TEST_CASE("cuda emulation: each call of the API can be made to fail") {
  const Fresh fresh;
  void* memory = nullptr;
  settings().fail_call = counters().calls + 2;
  CHECK(cudaMalloc(&memory, 4) == cudaSuccess);
  CHECK(cudaFree(memory) == cudaErrorUnknown);
  CHECK(cudaFree(memory) == cudaSuccess);
}

TEST_CASE("cuda emulation: a program's environment sets order and streams") {
  const Fresh fresh;
  const char* const order = "PLUMBLINE_EMULATION_ORDER";
  const char* const streams = "PLUMBLINE_EMULATION_STREAMS";
  const auto after = [&](const char* of_order, const char* of_streams) {
    setenv(order, of_order, 1);
    setenv(streams, of_streams, 1);
    reset();
    return settings();
  };
  CHECK(after("descending", "eager").order == Order::descending);
  CHECK_FALSE(settings().lazy);
  CHECK(after("shuffled:17", "lazy").order == Order::shuffled);
  CHECK(settings().seed == 17);
  CHECK(settings().lazy);
  CHECK_THROWS_WITH(after("sideways", "lazy"), "PLUMBLINE_EMULATION_ORDER: no such value: sideways");
  CHECK_THROWS_WITH(after("ascending", "slow"), "PLUMBLINE_EMULATION_STREAMS: no such value: slow");
  unsetenv(order);
  unsetenv(streams);
}

TEST_CASE("cuda emulation: handles that were given back are refused") {
  const Fresh fresh;
  const cudaStream_t stream = new_stream();
  cudaEvent_t event = nullptr;
  REQUIRE(cudaEventCreate(&event) == cudaSuccess);
  REQUIRE(cudaStreamDestroy(stream) == cudaSuccess);
  REQUIRE(cudaEventDestroy(event) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
  CHECK(run({1, 1, 0, stream}, nothing_kernel, none) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(event) == cudaErrorInvalidResourceHandle);
}

}  // namespace
}  // namespace plumbline::cuda_emulation
