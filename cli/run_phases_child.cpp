#include "cli/run_phases_child.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "harness/error.h"

namespace plumbline::cli {
namespace {

constexpr std::size_t kErrorsKept = 4096;  // bytes of stderr
constexpr timespec kTick{0, 200'000'000};  // 0.2 s
volatile std::sig_atomic_t interrupt_signal = 0;

void on_interrupt(int signal) {
  interrupt_signal = signal;
}

sigset_t interrupts() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

// One that reached us while the child's last words were there to be read: ppoll returns those, and leaves the
// signal pending. Ctrl-C in a terminal reaches parent and child at once.
int pending_interrupt() {
  sigset_t pending;
  if (::sigpending(&pending) != 0) return 0;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (sigismember(&pending, signal) == 1) return signal;
  }
  return 0;
}

// A pipe whose ends close themselves; close-on-exec, so that the child holds only what it was given.
struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error(std::strerror(errno), "pipe");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  void close_end(int end) {
    int& descriptor = ends.at(static_cast<std::size_t>(end));
    if (descriptor >= 0) ::close(descriptor);
    descriptor = -1;
  }
  int read_end() const { return ends[0]; }
  int write_end() const { return ends[1]; }
};

pid_t spawn(const std::vector<std::string>& command, const Pipe& out, const Pipe& err) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out.write_end(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.write_end(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  const sigset_t defaults = interrupts();
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  pid_t child = 0;
  const int problem =
      ::posix_spawnp(&child, command.front().c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) throw Error(std::string("cannot start: ") + std::strerror(problem), command.front());
  return child;
}

// Hands on the whole lines that `buffer` holds.
void take_lines(std::string& buffer, const std::function<void(std::string_view)>& line) {
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = buffer.find('\n', begin)) != std::string::npos; begin = end + 1) {
    line(std::string_view(buffer).substr(begin, end - begin));
  }
  buffer.erase(0, begin);
}

// Reads what is there; false at the end of the stream.
bool drain(int descriptor, std::string& into) {
  std::array<char, 4096> bytes{};
  const ssize_t got = ::read(descriptor, bytes.data(), bytes.size());
  if (got > 0) into.append(bytes.data(), static_cast<std::size_t>(got));
  return got > 0 || (got < 0 && errno == EINTR);
}

// Until both streams end, or a signal reaches us.
void follow(Pipe& out, Pipe& err, ChildEnding& ending, const std::function<void(std::string_view)>& line,
            const std::function<void()>& tick) {
  sigset_t open_mask;
  sigemptyset(&open_mask);
  std::string buffer;
  while ((out.read_end() >= 0 || err.read_end() >= 0) && interrupt_signal == 0) {
    std::array<pollfd, 2> waiting{{{out.read_end(), POLLIN, 0}, {err.read_end(), POLLIN, 0}}};
    const int ready = ::ppoll(waiting.data(), waiting.size(), &kTick, &open_mask);
    if (ready < 0 && errno != EINTR) throw Error(std::strerror(errno), "poll");
    if (ready > 0 && waiting[0].revents != 0) {
      if (!drain(out.read_end(), buffer)) out.close_end(0);
      take_lines(buffer, line);
    }
    if (ready > 0 && waiting[1].revents != 0) {
      if (!drain(err.read_end(), ending.errors)) err.close_end(0);
      if (ending.errors.size() > kErrorsKept) ending.errors.erase(0, ending.errors.size() - kErrorsKept);
    }
    tick();
  }
}

}  // namespace

void hold_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
  const sigset_t blocked = interrupts();
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
}

ChildEnding run_child(const std::vector<std::string>& command,
                      const std::function<void(std::string_view)>& line, const std::function<void()>& tick) {
  Pipe out, err;
  ChildEnding ending;
  const pid_t child = spawn(command, out, err);
  out.close_end(1);
  err.close_end(1);
  follow(out, err, ending, line, tick);
  if (interrupt_signal != 0) {
    ending.interrupted_by = interrupt_signal;
    ::kill(child, SIGKILL);
  }
  int status = 0;
  rusage usage{};
  while (::wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  if (ending.interrupted_by == 0) ending.interrupted_by = pending_interrupt();
  ending.peak_bytes = static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  if (WIFEXITED(status)) ending.status = WEXITSTATUS(status);
  return ending;
}

}  // namespace plumbline::cli
