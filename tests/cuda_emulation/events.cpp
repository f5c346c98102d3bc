// Events: marks in streams.
#include "tests/cuda_emulation/runtime.h"

using namespace plumbline::cuda_emulation;

namespace {

bool is_known(cudaEvent_t event) {
  return runtime().events.count(event) != 0;
}

cudaError_t check(cudaEvent_t event) {
  if (!is_known(event)) return cudaErrorInvalidResourceHandle;
  return event->state->captured ? cudaErrorCapturedEvent : cudaSuccess;
}

bool is_done(const EventState& state) {
  return state.done >= state.recorded;
}

// Runs the stream up to the record that counts.
void drain_to(const EventState& state, std::uint64_t record) {
  if (state.done < record && find_stream(state.stream) != nullptr) drain(*state.stream, record);
}

}  // namespace

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return api(During::capture_allowed, [&] {
    if (event == nullptr || (flags & ~3u) != 0) return cudaErrorInvalidValue;
    *event = new CUevent_st{(flags & cudaEventDisableTiming) == 0, std::make_shared<EventState>()};
    runtime().events.insert(*event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return api(During::release, [&] {
    if (runtime().events.erase(event) == 0) return cudaErrorInvalidResourceHandle;
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return api(During::capture_allowed, [&] {
    CUstream_st* known = find_stream(stream);
    if (known == nullptr || !is_known(event)) return cudaErrorInvalidResourceHandle;
    const auto state = event->state;
    state->captured = known->capture != nullptr;
    if (state->captured) return known->capture->broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    const std::uint64_t record = runtime().ticket + 1;
    state->recorded = record;
    state->stream = known;
    return submit(*known, [state, record] {
      state->done = record;
      state->time = std::chrono::steady_clock::now();
    });
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return api(During::capture_allowed, [&] {
    CUstream_st* known = find_stream(stream);
    if (known == nullptr || !is_known(event)) return cudaErrorInvalidResourceHandle;
    const auto state = event->state;
    // Of captures that spread over several streams, only one stream that waits for itself is emulated.
    if (known->capture != nullptr) return state->captured ? cudaSuccess : cudaErrorStreamCaptureIsolation;
    if (state->captured) return cudaErrorStreamCaptureIsolation;
    return submit(*known, [state, record = state->recorded] { drain_to(*state, record); });
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api(During::capture_forbidden, [&] {
    const cudaError_t refused = check(event);
    if (refused != cudaSuccess) return refused;
    ++runtime().counters.synchronisations;
    drain_to(*event->state, event->state->recorded);
    return runtime().sticky;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return api(During::capture_forbidden, [&] {
    const cudaError_t refused = check(event);
    if (refused != cudaSuccess) return refused;
    const EventState& state = *event->state;
    if (is_done(state)) return cudaSuccess;
    CUstream_st* stream = find_stream(state.stream);
    if (stream != nullptr && !stream->queue.empty()) drain(*stream, stream->queue.front().ticket);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return api(During::capture_forbidden, [&] {
    if (milliseconds == nullptr) return cudaErrorInvalidValue;
    for (const cudaEvent_t event : {start, end}) {
      const cudaError_t refused = check(event);
      if (refused != cudaSuccess) return refused;
      if (event->state->recorded == 0 || !event->timed) return cudaErrorInvalidResourceHandle;
    }
    if (!is_done(*start->state) || !is_done(*end->state)) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(end->state->time - start->state->time).count();
    return cudaSuccess;
  });
}
