// Capture of a stream, and graphs made of it: what was recorded, queued again by each launch.
#include "tests/cuda_emulation/runtime.h"

namespace plumbline::cuda_emulation {

cudaError_t break_capture() {
  for (CUstream_st* stream : runtime().streams) {
    Capture* capture = stream->capture.get();
    if (capture == nullptr || capture->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool ours = capture->thread == std::this_thread::get_id();
    if (!ours && capture->mode != cudaStreamCaptureModeGlobal) continue;
    capture->broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return cudaSuccess;
}

}  // namespace plumbline::cuda_emulation

using namespace plumbline::cuda_emulation;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return api(During::capture_allowed, [&] {
    CUstream_st* known = find_stream(stream);
    if (known == nullptr) return cudaErrorInvalidResourceHandle;
    if (known == &runtime().default_stream) return cudaErrorStreamCaptureUnsupported;
    if (known->capture != nullptr) return cudaErrorIllegalState;
    known->capture.reset(new Capture{mode, std::this_thread::get_id(), false, {}});
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return api(During::capture_allowed, [&] {
    if (graph == nullptr) return cudaErrorInvalidValue;
    *graph = nullptr;
    CUstream_st* known = find_stream(stream);
    if (known == nullptr) return cudaErrorInvalidResourceHandle;
    if (known->capture == nullptr) return cudaErrorIllegalState;
    const bool ours = known->capture->thread == std::this_thread::get_id();
    if (!ours && known->capture->mode != cudaStreamCaptureModeRelaxed)
      return cudaErrorStreamCaptureWrongThread;
    const std::unique_ptr<Capture> capture = std::move(known->capture);
    if (capture->broken) return cudaErrorStreamCaptureInvalidated;
    *graph = new CUgraph_st{capture->recorded};
    runtime().graphs.insert(*graph);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return api(During::capture_allowed, [&] {
    CUstream_st* known = find_stream(stream);
    if (known == nullptr || status == nullptr) return cudaErrorInvalidValue;
    *status = known->capture == nullptr ? cudaStreamCaptureStatusNone
              : known->capture->broken  ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  return api(During::capture_allowed, [&] {
    if (executable == nullptr || runtime().graphs.count(graph) == 0) return cudaErrorInvalidValue;
    *executable = new CUgraphExec_st{graph->work};
    runtime().executables.insert(*executable);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return api(During::capture_allowed, [&] {
    CUstream_st* known = find_stream(stream);
    if (known == nullptr || runtime().executables.count(executable) == 0) return cudaErrorInvalidValue;
    ++runtime().counters.graph_launches;
    return submit(*known, [work = executable->work] {
      for (const Work& one : work) {
        if (runtime().sticky == cudaSuccess) (*one)();
      }
    });
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return api(During::release, [&] {
    if (runtime().executables.erase(executable) == 0) return cudaErrorInvalidValue;
    delete executable;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return api(During::release, [&] {
    if (runtime().graphs.erase(graph) == 0) return cudaErrorInvalidValue;
    delete graph;
    return cudaSuccess;
  });
}
