#include "impl/cache/saved_runs.h"

#include <utility>

namespace plumbline::native {

void SavedRuns::save(const RunFormat& format, const StoredRun& run) {
  const auto bytes =
      static_cast<std::size_t>(run.tokens * format.kv_heads * format.head_dim) * dtype_size(format.dtype);
  Saved saved{run, std::vector<std::byte>(bytes), std::vector<std::byte>(bytes)};
  read_run(format, run, CachePart::key, saved.keys.data());
  read_run(format, run, CachePart::value, saved.values.data());
  saved_.push_back(std::move(saved));
}

void SavedRuns::restore(const RunFormat& format) {
  for (auto saved = saved_.rbegin(); saved != saved_.rend(); ++saved) {
    write_run(format, saved->place, CachePart::key, saved->keys.data());
    write_run(format, saved->place, CachePart::value, saved->values.data());
  }
  saved_.clear();
}

}  // namespace plumbline::native
