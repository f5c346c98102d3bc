// What `generate` records beside its text: --capture, --summary.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "impl/generation/capture.h"
#include "impl/generation/layer_summary.h"
#include "impl/generation/step_sink.h"

namespace plumbline::cli {

struct ListenerOptions {
  std::vector<std::string> capture;  // shell patterns over probes' names
  std::string capture_dir;
  bool summary = false;
};

class Listeners {
 public:
  // Throws Error as CaptureWriter does. The engine must outlive it.
  Listeners(Engine& engine, const ListenerOptions& options);
  native::StepSink* sink() { return all_.empty() ? nullptr : &all_; }
  // Writes the last shard, and prints the summary on standard output. Throws Error where a shard cannot be
  // written.
  void finish();

 private:
  std::optional<native::CaptureWriter> capture_;
  std::optional<native::LayerSummary> summary_;
  native::SinkList all_;
};

}  // namespace plumbline::cli
