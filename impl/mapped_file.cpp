#include "impl/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "harness/error.h"

namespace plumbline::native {
namespace {

[[noreturn]] void fail(const char* what, const std::filesystem::path& path) {
  throw Error(std::string(what) + ": " + std::strerror(errno), path.string());
}

struct Descriptor {
  int value;
  ~Descriptor() { ::close(value); }
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait
  if (opened < 0) fail("cannot be opened", path);
  const Descriptor descriptor{opened};
  struct stat status {};
  if (::fstat(descriptor.value, &status) != 0) fail("cannot be read", path);
  if (!S_ISREG(status.st_mode)) throw Error("is not a regular file", path.string());
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // an empty file cannot be mapped, and has no bytes to show
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor.value, 0);
  if (mapped == MAP_FAILED) fail("cannot be mapped into memory", path);
  data_ = mapped;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace plumbline::native
