// One child process: its lines as they come, and how it ended.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace plumbline::cli {

struct ChildEnding {
  int status = 0;               // exit status, when no signal ended it
  int signal = 0;               // that ended it, 0: none
  int interrupted_by = 0;       // SIGINT or SIGTERM that reached us: the child was killed
  std::int64_t peak_bytes = 0;  // of its resident memory
  std::string errors;           // the end of its stderr
  bool well() const { return signal == 0 && interrupted_by == 0; }
};

// From here on SIGINT and SIGTERM are noticed only inside of run_child.
void hold_interrupts();

// Runs `command` (a program's path and its arguments; no shell), calls `line` for each line of its stdout and
// `tick` a few times a second. Throws Error when the program cannot be started.
ChildEnding run_child(const std::vector<std::string>& command,
                      const std::function<void(std::string_view)>& line, const std::function<void()>& tick);

}  // namespace plumbline::cli
