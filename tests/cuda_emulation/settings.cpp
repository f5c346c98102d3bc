// Settings, counters, and the state that they belong to.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "tests/cuda_emulation/runtime.h"

namespace plumbline::cuda_emulation {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

[[noreturn]] void refuse(const char* name, const std::string& value) {
  throw std::invalid_argument(std::string(name) + ": no such value: " + value);
}

Settings from_environment() {
  Settings made;
  const std::string order = variable("PLUMBLINE_EMULATION_ORDER");
  const std::string shuffled = "shuffled:";
  if (order == "descending") {
    made.order = Order::descending;
  } else if (order.rfind(shuffled, 0) == 0) {
    made.order = Order::shuffled;
    made.seed = static_cast<unsigned>(std::stoul(order.substr(shuffled.size())));
  } else if (!order.empty() && order != "ascending") {
    refuse("PLUMBLINE_EMULATION_ORDER", order);
  }
  const std::string streams = variable("PLUMBLINE_EMULATION_STREAMS");
  if (!streams.empty() && streams != "lazy" && streams != "eager")
    refuse("PLUMBLINE_EMULATION_STREAMS", streams);
  made.lazy = streams != "eager";
  return made;
}

void forget_everything() {
  Runtime& all = runtime();
  for (CUstream_st* stream : all.streams) delete stream;
  for (CUevent_st* event : all.events) delete event;
  for (CUgraph_st* graph : all.graphs) delete graph;
  for (CUgraphExec_st* executable : all.executables) delete executable;
  free_all_memory();
  all.streams.clear();
  all.events.clear();
  all.graphs.clear();
  all.executables.clear();
  all.dynamic_shared.clear();
  all.default_stream.queue.clear();
  all.sticky = cudaSuccess;
  all.failure.clear();
}

}  // namespace

Settings& settings() {
  static Settings now = from_environment();
  return now;
}

Runtime& runtime() {
  static auto* the_runtime = new Runtime;  // lives as long as any thread may call
  return *the_runtime;
}

Counters& counters() {
  return runtime().counters;
}

Held held() {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  const Runtime& all = runtime();
  Held now;
  for (const auto& [address, allocation] : all.memory) {
    (allocation.on_device ? now.device_bytes : now.pinned_bytes) += allocation.bytes;
    ++(allocation.on_device ? now.device_blocks : now.pinned_blocks);
  }
  now.streams = all.streams.size();
  now.events = all.events.size();
  now.graphs = all.graphs.size() + all.executables.size();
  return now;
}

void reset() {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  forget_everything();
  runtime().counters = {};
  settings() = from_environment();
  static_cast<void>(cudaGetLastError());
}

}  // namespace plumbline::cuda_emulation

using namespace plumbline::cuda_emulation;

cudaError_t cudaDeviceReset() {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  forget_everything();
  static_cast<void>(cudaGetLastError());
  return cudaSuccess;
}
