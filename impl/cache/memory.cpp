#include "impl/cache/memory.h"

#include <vector>

#include "harness/error.h"
#include "impl/half.h"

namespace plumbline::native {

void CacheMemory::read_run(const RunFormat& format, const StoredRun& run, CachePart part, std::byte* rows) {
  copy(format, contiguous_run(format, rows, run.tokens), run, part, CopyWay::to_host);
}

void CacheMemory::write_run(const RunFormat& format, const StoredRun& run, CachePart part,
                            const std::byte* rows) {
  // Runs serve both directions; this one is only read.
  const StoredRun from = contiguous_run(format, const_cast<std::byte*>(rows), run.tokens);
  copy(format, run, from, part, CopyWay::from_host);
}

void CacheMemory::copy_run(const RunFormat& format, const StoredRun& to, const StoredRun& from) {
  require(to.tokens == from.tokens, "cache: runs of different lengths");
  for (const CachePart part : {CachePart::key, CachePart::value}) {
    copy(format, to, from, part, CopyWay::within);
  }
}

void CacheMemory::fill_run(const RunFormat& format, const StoredRun& run, float value) {
  const std::vector<float> wide(static_cast<std::size_t>(run.tokens * format.row()), value);
  std::vector<std::byte> rows(wide.size() * dtype_size(format.dtype));
  narrow(format.dtype, wide.data(), static_cast<std::int64_t>(wide.size()), rows.data());
  write_run(format, run, CachePart::key, rows.data());
  write_run(format, run, CachePart::value, rows.data());
}

}  // namespace plumbline::native
