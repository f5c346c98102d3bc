// What run_phases shows while suites run: one line that changes on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "harness/report.h"

namespace plumbline::cli {

class Progress {
 public:
  explicit Progress(bool terminal) : terminal_(terminal) {}
  void begin_phase(const PhaseReport& asked);
  // A line of the suite's stdout (phases/support/recorder.cpp writes them); others are ignored.
  void line(std::string_view text);
  void tick();
  void end_phase(const PhaseReport& phase);

 private:
  void print(const std::string& text);  // a line that stays
  double seconds() const;

  bool terminal_;
  std::string title_, case_;
  int failures_shown_ = 0, failures_ = 0;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace plumbline::cli
