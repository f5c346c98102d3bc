#include "impl/cache/saved_runs.h"

#include <algorithm>
#include <utility>

namespace plumbline::native {
namespace {

// A full ring saves some rows in every step, which shall not ask for memory in every step: chunks of this
// size are used again, up to so many of them. Larger ones hold whole sequences and are given back.
constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr std::size_t kKept = 16;

}  // namespace

std::byte* SavedRuns::room(CacheMemory& memory, std::size_t bytes) {
  while (chunk_ < chunks_.size() && chunks_[chunk_].bytes - used_ < bytes) {
    ++chunk_;
    used_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    const std::size_t size = std::max(bytes, kChunk);
    chunks_.push_back({memory.allocate(size), size});
  }
  std::byte* const at = chunks_[chunk_].block->data() + used_;
  used_ += bytes;
  return at;
}

void SavedRuns::save(CacheMemory& memory, const RunFormat& format, const StoredRun& run) {
  const std::size_t bytes = static_cast<std::size_t>(run.tokens * format.row()) * dtype_size(format.dtype);
  StoredRun copy = contiguous_run(format, room(memory, 2 * bytes), run.tokens);
  copy.values += bytes;
  memory.copy_run(format, copy, run);
  saved_.push_back({run, copy});
}

void SavedRuns::restore(CacheMemory& memory, const RunFormat& format) {
  const std::vector<Saved> saved = std::exchange(saved_, {});
  for (auto each = saved.rbegin(); each != saved.rend(); ++each) {
    memory.copy_run(format, each->place, each->copy);
  }
  clear();
}

void SavedRuns::clear() {
  saved_.clear();
  std::erase_if(chunks_, [](const Chunk& chunk) { return chunk.bytes > kChunk; });
  chunks_.resize(std::min(chunks_.size(), kKept));
  chunk_ = used_ = 0;
}

}  // namespace plumbline::native
