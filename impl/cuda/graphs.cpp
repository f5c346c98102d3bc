#include "impl/cuda/graphs.h"

#include <cuda_runtime_api.h>

namespace plumbline::native::cuda {
namespace {

constexpr std::size_t kMostGraphs = 64;  // a graph has some megabytes

// Ends a capture that an exception broke off.
class Capture {
 public:
  explicit Capture(Stream stream) : stream_(stream) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  }
  ~Capture() {
    if (!open_) return;
    cudaGraph_t broken = nullptr;
    static_cast<void>(cudaStreamEndCapture(stream_, &broken));
    if (broken != nullptr) static_cast<void>(cudaGraphDestroy(broken));
    static_cast<void>(cudaGetLastError());
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  cudaGraph_t end() {
    open_ = false;
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    return graph;
  }

 private:
  Stream stream_;
  bool open_ = true;
};

}  // namespace

CUgraphExec_st* Graphs::capture(Stream stream, const std::function<void()>& queue) {
  Capture capture(stream);
  queue();
  const cudaGraph_t graph = capture.end();
  cudaGraphExec_t made = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&made, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  check(status, "cudaGraphInstantiate");
  return made;
}

void Graphs::run(Stream stream, const Key& key, const std::function<void()>& queue) {
  const auto found = graphs_.find(key);
  if (found == graphs_.end()) {
    if (graphs_.size() >= kMostGraphs) clear();
    queue();
    graphs_.emplace(key, nullptr);
    return;
  }
  if (found->second == nullptr) found->second = capture(stream, queue);
  check(cudaGraphLaunch(found->second, stream), "cudaGraphLaunch");
}

void Graphs::clear() {
  for (const auto& [key, graph] : graphs_) {
    if (graph != nullptr) static_cast<void>(cudaGraphExecDestroy(graph));
  }
  graphs_.clear();
}

}  // namespace plumbline::native::cuda
