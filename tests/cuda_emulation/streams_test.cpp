// Streams, events and graphs: when work is done, and what a host that does not wait sees.
#include <numeric>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

__global__ void add_kernel(int* values, int count, int what) {
  const int at = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (at < count) values[at] += what;
}

cudaError_t add(int* values, int count, int what, cudaStream_t stream) {
  return run({static_cast<unsigned>(count + 31) / 32, 32, 0, stream}, add_kernel, values, count, what);
}

// Ten values up, one added to each on the device, ten values down.
struct RoundTrip {
  int* host = pinned<int>(10);
  int* device = on_device<int>(10);
  cudaStream_t stream = new_stream();

  void queue() const {
    REQUIRE(cudaMemcpyAsync(device, host, 40, cudaMemcpyHostToDevice, stream) == cudaSuccess);
    REQUIRE(add(device, 10, 1, stream) == cudaSuccess);
    REQUIRE(cudaMemcpyAsync(host, device, 40, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  }
};

TEST_CASE("cuda emulation: lazy and eager streams give the same to a host that waits") {
  for (const bool lazy : {true, false}) {
    const Fresh fresh;
    settings().lazy = lazy;
    const RoundTrip trip;
    std::iota(trip.host, trip.host + 10, 0);
    trip.queue();
    REQUIRE(cudaStreamSynchronize(trip.stream) == cudaSuccess);
    CHECK(trip.host[0] == 1);
    CHECK(trip.host[9] == 10);
    CHECK(counters().launches == 1);
    CHECK(counters().synchronisations == 1);
    CHECK(counters().copies_to_device == 1);
    CHECK(counters().copies_to_host == 1);
  }
}

TEST_CASE("cuda emulation: a host that reads too early, or overwrites what is still to be copied, is seen") {
  const auto first_after = [](bool lazy, bool overwrites) {
    const Fresh fresh;
    settings().lazy = lazy;
    const RoundTrip trip;
    std::fill_n(trip.host, 10, 5);
    trip.queue();
    if (overwrites) std::fill_n(trip.host, 10, 100);
    if (overwrites) REQUIRE(cudaStreamSynchronize(trip.stream) == cudaSuccess);
    return trip.host[0];
  };
  CHECK(first_after(false, false) == 6);
  CHECK(first_after(true, false) == 5);
  CHECK(first_after(false, true) == 100);
  CHECK(first_after(true, true) == 101);
}

TEST_CASE("cuda emulation: pageable memory is staged during the call") {
  const Fresh fresh;
  int* device = on_device<int>(2);
  const cudaStream_t stream = new_stream();
  std::vector<int> host = {1, 2};
  REQUIRE(cudaMemcpyAsync(device, host.data(), 8, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  host = {7, 7};
  REQUIRE(cudaMemcpyAsync(host.data(), device, 8, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  CHECK(host == std::vector<int>{1, 2});
  CHECK(counters().synchronisations == 2);
}

TEST_CASE("cuda emulation: a blocking copy waits for blocking streams only") {
  for (const unsigned flags : {cudaStreamDefault, cudaStreamNonBlocking}) {
    const Fresh fresh;
    int* device = on_device(std::vector<int>(4, 0));
    const cudaStream_t stream = new_stream(flags);
    REQUIRE(add(device, 4, 1, stream) == cudaSuccess);
    CHECK(from_device(device, 4)[0] == (flags == cudaStreamDefault ? 1 : 0));
  }
}

TEST_CASE("cuda emulation: the legacy default stream and blocking streams take turns") {
  const Fresh fresh;
  int* device = on_device(std::vector<int>(1, 0));
  const cudaStream_t stream = new_stream(cudaStreamDefault);
  REQUIRE(add(device, 1, 1, stream) == cudaSuccess);
  REQUIRE(cudaMemsetAsync(device, 0, 4) == cudaSuccess);
  REQUIRE(add(device, 1, 10, stream) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(from_device(device, 1)[0] == 10);
}

TEST_CASE("cuda emulation: events order streams, and tell when work is done") {
  const Fresh fresh;
  int* device = on_device(std::vector<int>(1, 1));
  int* host = pinned<int>(1);
  const cudaStream_t first = new_stream(), second = new_stream();
  cudaEvent_t event = nullptr, end = nullptr;
  REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDefault) == cudaSuccess);
  REQUIRE(cudaEventCreate(&end) == cudaSuccess);
  CHECK(cudaEventQuery(event) == cudaSuccess);  // never recorded
  REQUIRE(add(device, 1, 5, first) == cudaSuccess);
  REQUIRE(cudaEventRecord(event, first) == cudaSuccess);
  SECTION("the other stream waits for it") {
    REQUIRE(cudaStreamWaitEvent(second, event) == cudaSuccess);
    REQUIRE(cudaMemcpyAsync(host, device, 4, cudaMemcpyDeviceToHost, second) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(second) == cudaSuccess);
    CHECK(*host == 6);
  }
  SECTION("without the wait it does not") {
    REQUIRE(cudaMemcpyAsync(host, device, 4, cudaMemcpyDeviceToHost, second) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(second) == cudaSuccess);
    CHECK(*host == 1);
  }
  SECTION("a loop of queries ends") {
    int queries = 0;
    while (cudaEventQuery(event) == cudaErrorNotReady) ++queries;
    CHECK(queries == 2);  // each lets the device do a piece of work
  }
  SECTION("time between two") {
    REQUIRE(cudaEventRecord(end, first) == cudaSuccess);
    float milliseconds = -1;
    CHECK(cudaEventElapsedTime(&milliseconds, event, end) == cudaErrorNotReady);
    REQUIRE(cudaEventSynchronize(end) == cudaSuccess);
    REQUIRE(cudaEventElapsedTime(&milliseconds, event, end) == cudaSuccess);
    CHECK(milliseconds >= 0);
  }
}

cudaGraph_t captured(cudaStream_t stream, int* device) {
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  cudaStreamCaptureStatus status{};
  REQUIRE(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive);
  REQUIRE(add(device, 1, 1, stream) == cudaSuccess);
  REQUIRE(add(device, 1, 10, stream) == cudaSuccess);
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  return graph;
}

TEST_CASE("cuda emulation: a graph runs nothing while it is captured, and all of it at each launch") {
  for (const bool lazy : {true, false}) {
    const Fresh fresh;
    settings().lazy = lazy;
    int* device = on_device(std::vector<int>(1, 0));
    const cudaStream_t stream = new_stream();
    cudaGraph_t graph = captured(stream, device);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(from_device(device, 1)[0] == 0);
    cudaGraphExec_t executable = nullptr;
    REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
    REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
    for (int launch = 0; launch < 3; ++launch) REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
    REQUIRE(cudaGraphExecDestroy(executable) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(from_device(device, 1)[0] == 33);
    CHECK(counters().launches == 2);
    CHECK(counters().graph_launches == 3);
    CHECK(counters().kernels_run == 6);
    CHECK(held().graphs == 0);
  }
}

TEST_CASE("cuda emulation: what waits or allocates breaks a capture") {
  const Fresh fresh;
  int* device = on_device(std::vector<int>(1, 0));
  int host = 0;
  void* more = nullptr;
  const cudaStream_t stream = new_stream();
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  const auto act = GENERATE(0, 1, 2, 3, 4, 5, 6);
  cudaError_t error = cudaSuccess;
  if (act == 0) error = cudaMalloc(&more, 4);
  if (act == 1) error = cudaFree(device);
  if (act == 2) error = cudaStreamSynchronize(stream);
  if (act == 3) error = cudaDeviceSynchronize();
  if (act == 4) error = cudaMemcpy(&host, device, 4, cudaMemcpyDeviceToHost);
  if (act == 5) error = cudaMemcpyAsync(&host, device, 4, cudaMemcpyDeviceToHost, stream);  // pageable
  if (act == 6) error = cudaHostAlloc(&more, 4, cudaHostAllocDefault);
  CHECK(error == cudaErrorStreamCaptureUnsupported);
  CHECK(add(device, 1, 1, stream) == cudaErrorStreamCaptureInvalidated);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);
  // And the stream is as before.
  REQUIRE(add(device, 1, 1, stream) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(from_device(device, 1)[0] == 1);
}

}  // namespace
}  // namespace plumbline::cuda_emulation
