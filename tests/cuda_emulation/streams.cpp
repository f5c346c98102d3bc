// Streams: work that waits for its turn, and who has to wait for whom.
#include <algorithm>

#include "tests/cuda_emulation/runtime.h"

namespace plumbline::cuda_emulation {
namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};

// The legacy default stream and the blocking ones take turns in the order of the calls.
void drain_what_comes_before(CUstream_st& stream, std::uint64_t ticket) {
  Runtime& all = runtime();
  if (&stream == &all.default_stream) {
    for (CUstream_st* other : all.streams) {
      if (other->blocking) drain(*other, ticket);
    }
  } else if (stream.blocking) {
    drain(all.default_stream, ticket);
  }
}

cudaError_t synchronise(CUstream_st& stream) {
  ++runtime().counters.synchronisations;
  drain(stream, kAll);
  return runtime().sticky;
}

}  // namespace

CUstream_st* find_stream(cudaStream_t stream) {
  Runtime& all = runtime();
  if (stream == nullptr || stream == cudaStreamLegacy) return &all.default_stream;
  const auto at = std::find(all.streams.begin(), all.streams.end(), stream);
  return at == all.streams.end() ? nullptr : *at;
}

cudaError_t submit(CUstream_st& stream, std::function<void()> work) {
  return submit(stream, std::make_shared<const std::function<void()>>(std::move(work)));
}

cudaError_t submit(CUstream_st& stream, const Work& work) {
  Runtime& all = runtime();
  if (stream.capture != nullptr) {
    if (stream.capture->broken) return cudaErrorStreamCaptureInvalidated;
    stream.capture->recorded.push_back(work);
    return cudaSuccess;
  }
  if (&stream == &all.default_stream) {
    for (CUstream_st* other : all.streams) {
      if (!other->blocking || other->capture == nullptr) continue;
      other->capture->broken = true;
      return cudaErrorStreamCaptureImplicit;
    }
  }
  stream.queue.push_back({++all.ticket, work});
  if (!settings().lazy) drain(stream, kAll);
  return cudaSuccess;
}

void drain(CUstream_st& stream, std::uint64_t up_to) {
  const DeviceAccess access;
  while (!stream.queue.empty() && stream.queue.front().ticket <= up_to) {
    const QueuedWork next = stream.queue.front();
    stream.queue.pop_front();
    drain_what_comes_before(stream, next.ticket - 1);
    if (runtime().sticky == cudaSuccess) (*next.work)();
  }
}

void drain_blocking_streams() {
  for (CUstream_st* stream : runtime().streams) {
    if (stream->blocking) drain(*stream, kAll);
  }
  drain(runtime().default_stream, kAll);
}

void drain_all() {
  std::vector<CUstream_st*> streams = runtime().streams;
  if (settings().order == Order::descending) std::reverse(streams.begin(), streams.end());
  for (CUstream_st* stream : streams) drain(*stream, kAll);
  drain(runtime().default_stream, kAll);
}

}  // namespace plumbline::cuda_emulation

using namespace plumbline::cuda_emulation;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return api(During::capture_allowed, [&] {
    if (stream == nullptr || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = new CUstream_st;
    (*stream)->blocking = flags == cudaStreamDefault;
    runtime().streams.push_back(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return api(During::release, [&] {
    CUstream_st* known = find_stream(stream);
    if (known == nullptr || known == &runtime().default_stream) return cudaErrorInvalidResourceHandle;
    drain(*known, kAll);
    std::erase(runtime().streams, known);
    delete known;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return api(During::capture_allowed, [&] {
    CUstream_st* known = find_stream(stream);
    if (known == nullptr) return cudaErrorInvalidResourceHandle;
    if (known->capture != nullptr) {
      known->capture->broken = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    const cudaError_t refused = break_capture();
    return refused != cudaSuccess ? refused : synchronise(*known);
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return api(During::capture_forbidden, [&] {
    CUstream_st* known = find_stream(stream);
    if (known == nullptr) return cudaErrorInvalidResourceHandle;
    if (known->queue.empty()) return cudaSuccess;
    drain(*known, known->queue.front().ticket);  // so that a loop of queries ends
    return cudaErrorNotReady;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return api(During::capture_forbidden, [] {
    ++runtime().counters.synchronisations;
    drain_all();
    return runtime().sticky;
  });
}
