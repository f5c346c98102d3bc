// Copies into shared memory that a thread does not wait for.
#include <cuda_pipeline.h>

#include <cstdint>
#include <cstring>

#include "tests/cuda_emulation/block_turns.h"
#include "tests/cuda_emulation/emulation.h"
#include "tests/cuda_emulation/shared_memory.h"

namespace plumbline::cuda_emulation {
namespace {

bool in_shared_memory(const void* to, std::size_t size) {
  const auto begin = reinterpret_cast<std::uintptr_t>(native::cuda::plumbline_shared_memory);
  const auto at = reinterpret_cast<std::uintptr_t>(to);
  return at >= begin && at + size <= begin + sizeof native::cuda::plumbline_shared_memory;
}

}  // namespace

void Block::copy_later(void* to, const void* from, std::size_t size) {
  const auto misplaced =
      (reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % size;
  if ((size != 4 && size != 8 && size != 16) || misplaced != 0) {
    abort("copies to shared memory what does not lie on 4, 8 or 16 bytes");
  }
  if (!in_shared_memory(to, size)) abort("copies asynchronously to where no shared memory is");
  const AsyncCopy copy{to, from, size};
  if (!settings().lazy) return copy.run();
  copies_.resize(static_cast<std::size_t>(threads_));
  copies_[static_cast<std::size_t>(current_)].asked.push_back(copy);
}

void Block::commit_copies() {
  if (copies_.empty()) return;
  AsyncCopies& own = copies_[static_cast<std::size_t>(current_)];
  own.committed = own.asked.size();
}

void Block::wait_for_copies() {
  if (copies_.empty()) return;
  AsyncCopies& own = copies_[static_cast<std::size_t>(current_)];
  for (std::size_t i = 0; i < own.committed; ++i) own.asked[i].run();
  own.asked.erase(own.asked.begin(), own.asked.begin() + static_cast<std::ptrdiff_t>(own.committed));
  own.committed = 0;
}

void AsyncCopy::run() const {
  std::memcpy(to, from, size);
}

void copy_later(void* to_shared, const void* from, std::size_t size) {
  the_block->copy_later(to_shared, from, size);
}
void commit_copies() {
  the_block->commit_copies();
}
void wait_for_copies() {
  the_block->wait_for_copies();
}

}  // namespace plumbline::cuda_emulation
