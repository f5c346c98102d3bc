// Output that is there whole or not at all, whatever ends the program: an error, a full disk, Ctrl-C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace plumbline {

// A path that is to be removed when a signal ends the program meanwhile (end_cleanly_on_signals).
class RemovedOnSignal {
 public:
  explicit RemovedOnSignal(const std::filesystem::path& path);
  RemovedOnSignal(const RemovedOnSignal&) = delete;
  RemovedOnSignal& operator=(const RemovedOnSignal&) = delete;
  ~RemovedOnSignal();

 private:
  int slot_ = -1;
};

// A file under a temporary name beside its own, which it gets at the end: a rename that cannot cross a file
// system. Without keep() the temporary file is removed and what lay under the name stays as it was.
class OutputFile {
 public:
  // Throws Error when the file could not be written: no such folder, no permission, a directory of that name.
  // `hint` is for whoever reads that error.
  explicit OutputFile(std::filesystem::path path,
                      std::string_view hint = "does the folder exist, and may you write there?");
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  // All throw Error at once when the system refuses, as for a full disk; then keep() must not be called.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void write_at(std::uint64_t place, std::span<const std::byte> bytes);  // over what was written there

  void close();  // throws Error when what was written did not reach the file
  void keep();   // closes, and gives the file its name

 private:
  [[noreturn]] void fail(int problem) const;

  std::filesystem::path path_, temporary_;
  std::string hint_;
  RemovedOnSignal removed_on_signal_;
  int descriptor_ = -1;
  bool kept_ = false;
};

// Throws Error as OutputFile does, before work is done for a file that cannot be written.
void require_writable(const std::filesystem::path& path);

// A directory and its parents, made where they are not there. Those that it made are removed again where
// nothing was put into them.
class OutputDirectory {
 public:
  explicit OutputDirectory(const std::filesystem::path& path);  // throws Error when it cannot be made
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;
  ~OutputDirectory();

 private:
  void make(const std::filesystem::path& path);

  std::vector<std::filesystem::path> made_;  // parents first
  std::vector<std::unique_ptr<RemovedOnSignal>> removed_on_signal_;
};

// For main(). SIGINT, SIGTERM and SIGHUP remove unfinished output and end the process with status
// 128 + signal, where they are not ignored already. Includes file_size_limit_is_an_error().
void end_cleanly_on_signals();

// For main(). Writing past a limit on file sizes (ulimit -f) is an error like a full disk, not a signal.
void file_size_limit_is_an_error();

}  // namespace plumbline
