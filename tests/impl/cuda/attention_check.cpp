#include "tests/impl/cuda/attention_check.h"

#include <algorithm>
#include <cstring>

#include <catch2/catch.hpp>

namespace plumbline::native::cuda::testing {

namespace {

constexpr std::uint32_t kUnwritten = 0xffffffffu;

bool by_tensor_cores(const Problem& p, const Form& form, std::size_t step) {
  return form.tensor_core_rows > 0 && p.steps[step].rows >= form.tensor_core_rows &&
         p.storage == DType::bf16 && p.cache == DType::bf16 && p.head_dim % 16 == 0;
}

// Keys of which the row is wrong; the first, or -1.
std::int64_t wrong_key(const std::vector<float>& got, const std::vector<float>& expected, KeySpan written) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto key = static_cast<std::int64_t>(i);
    const bool inside = key >= written.begin && key < written.end;
    if (bits_of(got[i]) != (inside ? bits_of(expected[i]) : kUnwritten)) return key;
  }
  return -1;
}

}  // namespace

void check_result(const Problem& p, const Form& form, const Result& result) {
  for (std::size_t s = 0; s < p.steps.size(); ++s) {
    for (std::int64_t i = 0; i < p.steps[s].rows * p.heads; ++i) {
      const std::int64_t query = i / p.heads, head = i % p.heads, row = p.steps[s].first_row + query;
      const auto at = static_cast<std::size_t>(row * p.heads + head);
      const Expected expected = expected_of(p, s, query, head, by_tensor_cores(p, form, s));
      const bool whole = form.part == RowPart::whole;
      const KeySpan all{0, p.length(s)}, tile = whole ? all : result.tile_keys[static_cast<std::size_t>(row)];
      CAPTURE(s, query, head, p.steps[s].past, p.window, p.heads, p.kv_heads, p.head_dim);
      if (!form.in_place) REQUIRE(wrong_key(result.scores[at], expected.scores, tile) == -1);
      std::vector<float> probs = expected.probs;
      const KeySpan own = seen_by(p, p.steps[s].past + query);
      // Around a row's own keys its scores stay where weights lie over them.
      if (form.in_place && !whole) {
        for (std::int64_t key = tile.begin; key < tile.end; ++key) {
          const auto k = static_cast<std::size_t>(key);
          if (key < own.begin || key >= own.end) probs[k] = expected.scores[k];
        }
      }
      REQUIRE(wrong_key(result.probs[at], probs, whole ? all : form.in_place ? tile : own) == -1);
      for (std::size_t d = 0; d < expected.context.size(); ++d) {
        CAPTURE(d);
        REQUIRE(bits_of(result.context[at * expected.context.size() + d]) == bits_of(expected.context[d]));
      }
    }
  }
}

bool same_bits(float a, float b) {
  return bits_of(a) == bits_of(b);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_parts(const Problem& whole, Form form) {
  const std::int64_t tokens = whole.steps[0].rows;
  const std::vector<float> expected = attend(whole, form, 1).context;
  const std::int64_t width = whole.heads * whole.head_dim, kv_width = whole.kv_heads * whole.head_dim;
  for (const std::int64_t chunk : {1, 37}) {
    form.partial = chunk == 1;
    for (std::int64_t first = 0; first < tokens; first += chunk) {
      Problem part = whole;
      const std::int64_t rows = std::min(chunk, tokens - first);
      part.steps = {{0, rows, first}};
      part.queries.assign(whole.queries.begin() + first * width,
                          whole.queries.begin() + (first + rows) * width);
      part.keys[0].resize(static_cast<std::size_t>((first + rows) * kv_width));
      part.values[0].resize(static_cast<std::size_t>((first + rows) * kv_width));
      const std::vector<float> got = attend(part, form, static_cast<unsigned>(first)).context;
      CAPTURE(chunk, first);
      REQUIRE(same_bits(got, {expected.begin() + first * width, expected.begin() + (first + rows) * width}));
    }
  }
}

Problem one_step(DType storage, DType cache, std::int64_t head_dim, std::int64_t rows, std::int64_t past) {
  Problem p;
  p.storage = storage;
  p.cache = cache;
  p.heads = 6;
  p.kv_heads = 2;
  p.head_dim = head_dim;
  p.steps = {{0, rows, past}};
  return p;
}

}  // namespace plumbline::native::cuda::testing
