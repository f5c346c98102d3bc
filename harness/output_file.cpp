#include "harness/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline {
namespace {

namespace fs = std::filesystem;

// What a signal handler may read: no allocation, no locks. A signal of the process reaches its main thread,
// which is the one that writes files.
struct Slot {
  enum State { kFree, kFilling, kLive };
  std::atomic<int> state{kFree};
  char path[PATH_MAX] = {};
};
constexpr int kSlots = 64;
Slot slots[kSlots];
static_assert(std::atomic<int>::is_always_lock_free);

// Later slots first: files before the directory that was made for them.
void remove_all_live() {
  for (int i = kSlots - 1; i >= 0; --i) {
    if (slots[i].state != Slot::kLive) continue;
    ::unlink(slots[i].path);
    ::rmdir(slots[i].path);  // leaves a directory that holds something
  }
}

void on_signal(int signal) {
  remove_all_live();
  constexpr char kSaid[] = "\nplumbline: interrupted\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kSaid, sizeof kSaid - 1);
  ::_exit(128 + signal);
}

fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / fmt::format(".{}.tmp{}", path.filename().string(), ::getpid());
}

}  // namespace

RemovedOnSignal::RemovedOnSignal(const fs::path& path) {
  const std::string text = path.string();
  if (text.size() >= sizeof slots[0].path) throw Error("is too long for a path", text.substr(0, 40) + "...");
  for (int i = 0; i < kSlots; ++i) {
    int expected = Slot::kFree;
    if (!slots[i].state.compare_exchange_strong(expected, Slot::kFilling)) continue;
    std::memcpy(slots[i].path, text.c_str(), text.size() + 1);
    slots[i].state = Slot::kLive;
    slot_ = i;
    return;
  }
  throw InternalError("too many unfinished output files");
}

RemovedOnSignal::~RemovedOnSignal() {
  slots[slot_].state = Slot::kFree;
}

OutputFile::OutputFile(fs::path path, std::string_view hint)
    : path_(std::move(path)),
      temporary_(temporary_beside(path_)),
      hint_(hint),
      removed_on_signal_(temporary_) {
  std::error_code status;
  if (path_.filename().empty()) throw Error("is no file name", "'" + path_.string() + "'");
  if (fs::exists(path_, status) && !fs::is_regular_file(path_, status)) {
    throw Error("cannot be written", path_.string(), "it is there, but no regular file: is it a directory?");
  }
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(errno);
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!kept_) ::unlink(temporary_.c_str());
}

void OutputFile::fail(int problem) const {
  const bool full = problem == ENOSPC || problem == EDQUOT || problem == EFBIG;
  throw Error(fmt::format("cannot be written: {}", std::strerror(problem)), path_.string(),
              full ? "is the disk full?" : hint_);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void OutputFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

void OutputFile::write_at(std::uint64_t place, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(place));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(errno);
    place += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void OutputFile::close() {
  if (descriptor_ < 0) return;
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 && errno != EINTR) fail(errno);
}

void OutputFile::keep() {
  close();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
  kept_ = true;
}

void require_writable(const fs::path& path) {
  const OutputFile tried(path);
}

OutputDirectory::OutputDirectory(const fs::path& path) {
  std::vector<fs::path> missing;
  std::error_code status;
  for (fs::path at = path; !at.empty() && !fs::exists(at, status); at = at.parent_path()) {
    missing.push_back(at);
  }
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) make(*at);
  if (!fs::is_directory(path, status)) {
    throw Error("cannot be made", path.string(), "is there a file of that name?");
  }
}

void OutputDirectory::make(const fs::path& path) {
  if (path.filename().empty()) return;  // of "a/": the same directory as its parent
  auto removed_on_signal = std::make_unique<RemovedOnSignal>(path);
  if (::mkdir(path.c_str(), 0777) != 0) {
    if (errno == EEXIST) return;  // somebody else's
    const int problem = errno;
    for (auto at = made_.rbegin(); at != made_.rend(); ++at) ::rmdir(at->c_str());
    throw Error(fmt::format("cannot be made: {}", std::strerror(problem)), path.string(),
                "may you write there?");
  }
  made_.push_back(path);
  removed_on_signal_.push_back(std::move(removed_on_signal));
}

OutputDirectory::~OutputDirectory() {
  for (auto at = made_.rbegin(); at != made_.rend(); ++at) ::rmdir(at->c_str());
}

void end_cleanly_on_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = on_signal;
    sigfillset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
  }
  file_size_limit_is_an_error();
}

void file_size_limit_is_an_error() {
  std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace plumbline
