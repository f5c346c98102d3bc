// The generation loop on trial: mistakes planted in a third loop, judged by the checks of phase 5.
#pragma once

#include <string>
#include <vector>

#include "tests/mutants/loop.h"

namespace plumbline::mutants {

struct LoopResult {
  LoopMutation mutation;
  int checks = 0;
  int failed = 0;
  std::string first_failed;  // the name of the check
  std::string shown_by;      // its subject, and what it says
  bool planted() const { return mutation.mistake != LoopMistake::none; }
  bool killed() const { return planted() && failed > 0; }
  bool blamed_right() const { return planted() && first_failed == mutation.blamed; }
};

// On the tiny checkpoint and its goldens, in `fixtures`, over the native engine on `device`. The loop without
// a mistake comes first, and the native one second: nothing may be wrong with them.
std::vector<LoopResult> try_loop(const std::filesystem::path& fixtures, DeviceKind device);

// What is not as it must be.
std::vector<std::string> complaints_of(const std::vector<LoopResult>& results);
std::string loop_section(const std::vector<LoopResult>& results);  // Markdown

}  // namespace plumbline::mutants
