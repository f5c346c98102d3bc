// Rows of a cache as they were, for a rollback.
#pragma once

#include <cstddef>
#include <vector>

#include "impl/cache/run.h"

namespace plumbline::native {

class SavedRuns {
 public:
  void save(const RunFormat& format, const StoredRun& run);
  // Writes everything back, the last first: where a place was saved twice, the first copy is the one to go
  // back to.
  void restore(const RunFormat& format);
  void clear() { saved_.clear(); }

 private:
  struct Saved {
    StoredRun place;
    std::vector<std::byte> keys, values;
  };
  std::vector<Saved> saved_;
};

}  // namespace plumbline::native
