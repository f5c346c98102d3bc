#include "cli/listeners.h"

#include <iostream>

#include "harness/error.h"

namespace plumbline::cli {

Listeners::Listeners(Engine& engine, const ListenerOptions& options) {
  if (options.capture.empty() != options.capture_dir.empty())
    throw Error("goes with --capture-dir DIR", "--capture",
                "as in --capture '*.mlp_residual' --capture-dir captures");
  if (!options.capture.empty()) {
    capture_.emplace(engine,
                     native::CaptureOptions{.directory = options.capture_dir, .patterns = options.capture});
    all_.add(*capture_);
  }
  if (options.summary) {
    summary_.emplace(engine);
    all_.add(*summary_);
  }
}

void Listeners::finish() {
  if (capture_) {
    capture_->finish();
    std::cerr << "plumbline: captured " << capture_->shards() << " shards\n";
  }
  if (summary_) std::cout << summary_->text();
}

}  // namespace plumbline::cli
