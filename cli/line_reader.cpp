#include "cli/line_reader.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "cli/interrupt.h"
#include "harness/error.h"

namespace plumbline::cli {

// The signal is let in by ppoll alone: between a look at the flag and the wait it would be lost.
bool LineReader::wait() {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  int ready = 0;
  while (!InterruptGuard::interrupted()) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    ready = ::ppoll(&input, 1, nullptr, &before);
    if (ready > 0 || errno != EINTR) break;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return !InterruptGuard::interrupted();
}

bool LineReader::fill() {
  std::array<char, 4096> bytes;
  const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
  if (count < 0 && errno == EINTR) return true;
  if (count < 0) throw Error(std::string("cannot be read: ") + std::strerror(errno), "standard input");
  buffer_.append(bytes.data(), static_cast<std::size_t>(count));
  return count > 0;
}

std::optional<std::string> LineReader::next() {
  std::size_t end = buffer_.find('\n');
  while (end == std::string::npos && !at_end_) {
    if (!wait()) return std::nullopt;
    at_end_ = !fill();
    end = buffer_.find('\n');
  }
  if (end == std::string::npos && buffer_.empty()) return std::nullopt;
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end == std::string::npos ? end : end + 1);
  return line;
}

}  // namespace plumbline::cli
