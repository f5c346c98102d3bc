// Rows of a cache as they were, for a rollback. They stay in the cache's memory.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "impl/cache/memory.h"

namespace plumbline::native {

class SavedRuns {
 public:
  // Throws as CacheMemory::allocate does.
  void save(CacheMemory& memory, const RunFormat& format, const StoredRun& run);
  // Writes everything back, the last first: where a place was saved twice, the first copy is the one to go
  // back to.
  void restore(CacheMemory& memory, const RunFormat& format);
  void clear();

 private:
  struct Saved {
    StoredRun place, copy;
  };
  struct Chunk {
    std::unique_ptr<MemoryBlock> block;
    std::size_t bytes = 0;
  };
  std::byte* room(CacheMemory& memory, std::size_t bytes);

  std::vector<Saved> saved_;
  std::vector<Chunk> chunks_;
  std::size_t chunk_ = 0;  // the one being filled, and how many of its bytes are
  std::size_t used_ = 0;
};

}  // namespace plumbline::native
