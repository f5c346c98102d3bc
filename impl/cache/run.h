// Where tokens of a cache lie in memory: runs of them, with strides, so that what reads a cache need not know
// its layout.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "harness/dtype.h"

namespace plumbline::native {

struct CacheShape {
  int layers = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  bool slides = false;  // some layer has a sliding window, which counts keys
  std::int64_t row() const { return kv_heads * head_dim; }
};

// Tokens one after the other, for one layer of one sequence. Feature d of head h of token t lies at t *
// token_stride + h * head_stride + d, in elements, in the keys as in the values.
template <typename Element>
struct TokenRun {
  Element* keys = nullptr;
  Element* values = nullptr;
  std::int64_t tokens = 0;
  std::int64_t token_stride = 0;
  std::int64_t head_stride = 0;
};
using CacheRun = TokenRun<const float>;

// In the cache's own dtype; the strides count elements, not bytes.
using StoredRun = TokenRun<std::byte>;

// In logical order, oldest first: a prefill's buffer, then a ring's older and its newer end. Empty runs are
// left out.
template <typename Run>
class RunList {
 public:
  static constexpr std::size_t kMost = 3;
  void add(const Run& run) {
    if (run.tokens > 0) runs_.at(count_++) = run;
  }
  std::size_t size() const { return count_; }
  const Run* begin() const { return runs_.data(); }
  const Run* end() const { return runs_.data() + count_; }
  const Run& operator[](std::size_t index) const { return runs_[index]; }

 private:
  std::array<Run, kMost> runs_;
  std::size_t count_ = 0;
};

// One layer of one sequence. In f32, whatever the cache stores.
struct CacheSlice {
  RunList<CacheRun> runs;
  std::int64_t length = 0;  // tokens in all runs
};

enum class CachePart : std::uint8_t { key, value };

// How the elements of a run are stored.
struct RunFormat {
  DType dtype = DType::f32;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t row() const { return kv_heads * head_dim; }
};

// Tokens whose rows lie at `rows` as [tokens, kv_heads, head_dim]; for one part, so keys and values are the
// same.
inline StoredRun contiguous_run(const RunFormat& format, std::byte* rows, std::int64_t tokens) {
  return {rows, rows, tokens, format.row(), format.head_dim};
}

}  // namespace plumbline::native
