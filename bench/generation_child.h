// Another program, talked to by lines: its standard input and output are ours.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace plumbline::bench {

class ChildProcess {
 public:
  // `command`: the program, looked for in PATH, and its arguments. One that cannot be started writes nothing.
  explicit ChildProcess(std::vector<std::string> command);
  // Closes its input, and waits until it has ended.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Throws Error where the child reads no more.
  void write_line(const std::string& line);
  std::optional<std::string> read_line();  // without its end; nullopt when the child has ended

 private:
  int socket_ = -1;
  pid_t pid_ = -1;
  std::string read_;  // of the next lines
};

}  // namespace plumbline::bench
