#include "impl/cache/run.h"

#include <cstring>
#include <vector>

#include "harness/error.h"
#include "impl/half.h"

namespace plumbline::native {
namespace {

// Strides in bytes.
struct Rows {
  std::byte* data;
  std::size_t token_stride;
  std::size_t head_stride;
};

struct Extent {
  std::size_t tokens;
  std::size_t heads;
  std::size_t head_bytes;
};

// The longest pieces that are contiguous on both sides.
void copy_rows(const Rows& to, const Rows& from, const Extent& extent) {
  if (extent.tokens == 0) return;  // then there may be no memory either
  const std::size_t head = extent.head_bytes;
  const std::size_t row = extent.heads * head;
  const bool heads_touch = to.head_stride == head && from.head_stride == head;
  const bool rows_touch = to.token_stride == row && from.token_stride == row;
  const bool tokens_touch = to.token_stride == head && from.token_stride == head;
  if (heads_touch && rows_touch) {
    std::memcpy(to.data, from.data, extent.tokens * row);
  } else if (tokens_touch) {
    for (std::size_t h = 0; h < extent.heads; ++h) {
      std::memcpy(to.data + h * to.head_stride, from.data + h * from.head_stride, extent.tokens * head);
    }
  } else {
    const std::size_t pieces = heads_touch ? 1 : extent.heads;
    const std::size_t bytes = row / pieces;
    for (std::size_t t = 0; t < extent.tokens; ++t) {
      for (std::size_t h = 0; h < pieces; ++h) {
        std::memcpy(to.data + t * to.token_stride + h * to.head_stride,
                    from.data + t * from.token_stride + h * from.head_stride, bytes);
      }
    }
  }
}

Rows rows_of(const RunFormat& format, const StoredRun& run, CachePart part) {
  const std::size_t size = dtype_size(format.dtype);
  return {part == CachePart::key ? run.keys : run.values, static_cast<std::size_t>(run.token_stride) * size,
          static_cast<std::size_t>(run.head_stride) * size};
}

Rows contiguous_rows(const RunFormat& format, std::byte* data) {
  const std::size_t head = static_cast<std::size_t>(format.head_dim) * dtype_size(format.dtype);
  return {data, head * static_cast<std::size_t>(format.kv_heads), head};
}

Extent extent_of(const RunFormat& format, const StoredRun& run) {
  return {static_cast<std::size_t>(run.tokens), static_cast<std::size_t>(format.kv_heads),
          static_cast<std::size_t>(format.head_dim) * dtype_size(format.dtype)};
}

}  // namespace

void read_run(const RunFormat& format, const StoredRun& run, CachePart part, std::byte* rows) {
  copy_rows(contiguous_rows(format, rows), rows_of(format, run, part), extent_of(format, run));
}

void write_run(const RunFormat& format, const StoredRun& run, CachePart part, const std::byte* rows) {
  // Rows serve both directions; these are only read.
  copy_rows(rows_of(format, run, part), contiguous_rows(format, const_cast<std::byte*>(rows)),
            extent_of(format, run));
}

void copy_run(const RunFormat& format, const StoredRun& to, const StoredRun& from) {
  require(to.tokens == from.tokens, "cache: runs of different lengths");
  for (const CachePart part : {CachePart::key, CachePart::value}) {
    copy_rows(rows_of(format, to, part), rows_of(format, from, part), extent_of(format, from));
  }
}

void fill_run(const RunFormat& format, const StoredRun& run, float value) {
  const std::vector<float> wide(static_cast<std::size_t>(run.tokens * format.kv_heads * format.head_dim),
                                value);
  std::vector<std::byte> rows(wide.size() * dtype_size(format.dtype));
  narrow(format.dtype, wide.data(), static_cast<std::int64_t>(wide.size()), rows.data());
  write_run(format, run, CachePart::key, rows.data());
  write_run(format, run, CachePart::value, rows.data());
}

}  // namespace plumbline::native
