#include "tests/cuda_emulation/shared_memory.h"

#include <device_functions.h>

#include <algorithm>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace plumbline::native::cuda {
unsigned char plumbline_shared_memory[256 * 1024] __attribute__((aligned(128)));
}

namespace plumbline::cuda_emulation {
namespace {

using native::cuda::plumbline_shared_memory;

constexpr std::size_t kSharedBytes = sizeof(plumbline_shared_memory);
constexpr std::size_t kWatched = 1024;  // bytes beyond a block's own that are looked at after each turn

// Beyond the block's own bytes nothing else than 0xFF may ever stand.
bool is_untouched(std::size_t from, std::size_t to) {
  const unsigned char* bytes = plumbline_shared_memory;
  return from >= to ||
         (bytes[from] == 0xFF && std::memcmp(bytes + from, bytes + from + 1, to - from - 1) == 0);
}

void poison([[maybe_unused]] std::size_t bytes, [[maybe_unused]] bool on) {
#if defined(__SANITIZE_ADDRESS__)
  if (on) __asan_poison_memory_region(plumbline_shared_memory + bytes, kSharedBytes - bytes);
  if (!on) __asan_unpoison_memory_region(plumbline_shared_memory, kSharedBytes);
#endif
}

}  // namespace

std::size_t shared_memory_size() {
  return kSharedBytes;
}

void prepare_shared_memory() {
  static const void* const filled = std::memset(plumbline_shared_memory, 0xFF, kSharedBytes);
  static_cast<void>(filled);
}

void clear_shared_memory(std::size_t bytes) {
  std::memset(plumbline_shared_memory, 0xFF, bytes);
}

void save_shared_memory(std::vector<unsigned char>* to) {
  std::copy_n(plumbline_shared_memory, to->size(), to->data());
}

void restore_shared_memory(const std::vector<unsigned char>& from) {
  std::copy_n(from.data(), from.size(), plumbline_shared_memory);
}

void open_shared_memory(std::size_t bytes) {
  poison(bytes, true);
}

bool close_shared_memory(std::size_t bytes) {
  poison(bytes, false);
  return is_untouched(bytes, std::min(bytes + kWatched, kSharedBytes));
}

bool release_shared_memory(std::size_t bytes) {
  clear_shared_memory(bytes);
  return is_untouched(bytes, kSharedBytes);
}

void forget_shared_memory() {
  clear_shared_memory(kSharedBytes);
}

}  // namespace plumbline::cuda_emulation
