// Forward passes captured as CUDA graphs, so that a decode step is one launch instead of hundreds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "impl/cuda/memory.h"

struct CUgraphExec_st;

namespace plumbline::native::cuda {

class Graphs {
 public:
  Graphs() = default;
  ~Graphs() { clear(); }
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  // All that decides which kernels are launched, and with which arguments.
  using Key = std::vector<std::int64_t>;
  // Launches what `queue` queues on the stream: captured the first time, and from then on the capture.
  // `queue` may neither wait nor allocate.
  void run(Stream stream, const Key& key, const std::function<void()>& queue);
  // Forgets all: buffers that they name have moved.
  void clear();

 private:
  static CUgraphExec_st* capture(Stream stream, const std::function<void()>& queue);

  std::map<Key, CUgraphExec_st*> graphs_;  // null: ran once
};

}  // namespace plumbline::native::cuda
