// Lines of standard input, for who waits for a person: Ctrl-C ends the wait.
#pragma once

#include <optional>
#include <string>

namespace plumbline::cli {

// Reads the descriptor itself: nobody else may read standard input beside it. To be used under an
// InterruptGuard.
class LineReader {
 public:
  // Without its line end; the last one may have none. nullopt at the end of input, and once Ctrl-C came, in
  // whatever moment: then InterruptGuard::interrupted(). Throws Error where input cannot be read.
  std::optional<std::string> next();

 private:
  bool wait();  // for something to read; false after an interrupt
  bool fill();  // false at the end of input

  std::string buffer_;
  bool at_end_ = false;
};

}  // namespace plumbline::cli
