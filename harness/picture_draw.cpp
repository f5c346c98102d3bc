// Drawing: gnuplot over a picture's program, through files in memory.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "harness/picture.h"

extern char** environ;

namespace plumbline {
namespace {

// A file without a name, closed at the end.
class MemoryFile {
 public:
  explicit MemoryFile(const char* name) : descriptor_(::memfd_create(name, MFD_CLOEXEC)) {}
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int descriptor() const { return descriptor_; }
  bool fill(const std::string& text) const {
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t count = ::write(descriptor_, text.data() + done, text.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      done += static_cast<std::size_t>(count);
    }
    return ::lseek(descriptor_, 0, SEEK_SET) == 0;
  }
  std::string text() const {
    std::string all;
    char part[65536];
    off_t at = 0;
    for (;;) {
      const ssize_t count = ::pread(descriptor_, part, sizeof part, at);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return all;
      all.append(part, static_cast<std::size_t>(count));
      at += count;
    }
  }

 private:
  int descriptor_ = -1;
};

// Runs gnuplot without anybody's settings; its status, or -1 with errno where it could not be started.
int run_gnuplot(int in, int out, int err) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  char name[] = "gnuplot", defaults[] = "--default-settings";
  char* const arguments[] = {name, defaults, nullptr};
  pid_t child = -1;
  const int problem = ::posix_spawnp(&child, name, &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) {
    errno = problem;
    return -1;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// The first that is not empty, cut to a readable length.
std::string first_line(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \n");
  if (begin == std::string::npos) return {};
  return text.substr(begin, std::min<std::size_t>(text.find('\n', begin) - begin, 120));
}

}  // namespace

std::string draw(const Picture& picture, std::string& problem) {
  const MemoryFile in("program"), out("picture"), err("problems");
  if (out.descriptor() < 0 || err.descriptor() < 0 || in.descriptor() < 0 ||
      !in.fill(gnuplot_program(picture))) {
    problem = std::string("gnuplot cannot be fed: ") + std::strerror(errno);
    return {};
  }
  const int status = run_gnuplot(in.descriptor(), out.descriptor(), err.descriptor());
  if (status < 0) {
    problem = errno == ENOENT ? "gnuplot is not installed"
                              : std::string("gnuplot cannot be started: ") + std::strerror(errno);
    return {};
  }
  const std::string svg = out.text();
  if (status != 0 || svg.find("</svg>") == std::string::npos) {
    problem = "gnuplot failed";
    if (const std::string said = first_line(err.text()); !said.empty()) problem += ": " + said;
    return {};
  }
  return svg;
}

}  // namespace plumbline
