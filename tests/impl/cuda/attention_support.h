// Random attention for tests of the kernels: queries, caches of up to three runs in any layout, tiles; and
// the order of sums of impl/cuda/attention/attention.h, written out.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "harness/dtype.h"
#include "impl/cuda/attention/attention.h"

namespace plumbline::native::cuda::testing {

using Random = std::mt19937_64;
std::int64_t pick(Random& random, std::int64_t least, std::int64_t most);
float rounded_to(DType dtype, float value);
// N(0, 1), rounded.
std::vector<float> normal_floats(Random& random, std::int64_t count, DType dtype);

struct Problem {
  DType storage = DType::f32;
  DType cache = DType::f32;
  std::int64_t heads = 1, kv_heads = 1, head_dim = 8, window = 0;
  float scale = 1;
  std::vector<StepEntry> steps;
  std::vector<float> queries;              // [rows, heads, head_dim], values of `storage`
  std::vector<std::vector<float>> keys;    // of each step: [length, kv_heads, head_dim], values of `cache`
  std::vector<std::vector<float>> values;  // likewise

  std::int64_t rows() const { return steps.back().first_row + steps.back().rows; }
  std::int64_t length(std::size_t step) const { return steps[step].past + steps[step].rows; }
};

struct Ranges {
  std::int64_t most_head_dim = 40, most_group = 8, most_past = 200, most_rows = 20, most_steps = 2;
};
Problem random_problem(Random& random, const Ranges& ranges);
Problem problem_of(Random& random, const Problem& sizes);  // the same sizes and steps, other numbers

// Whether the query at `position` may see `key`.
bool sees(const Problem& problem, std::int64_t position, std::int64_t key);
KeySpan seen_by(const Problem& problem, std::int64_t position);

// Of one head and one query (a row of the activations), all in [length] or [head_dim].
struct Expected {
  std::vector<float> scores;   // of every key
  std::vector<float> probs;    // 0 where forbidden
  std::vector<float> context;  // values of `storage`
};
Expected expected_of(const Problem& problem, std::size_t step, std::int64_t query, std::int64_t head,
                     bool tensor_cores = false);

// How the same problem is put before the kernels.
struct Form {
  RowPart part = RowPart::allowed;
  bool in_place = true;
  bool partial = false;
  std::int64_t most_runs = 3;
  std::int64_t tile_queries = 0;      // of every tile; 0: at random
  std::int64_t part_queries = 0;      // that share a place of the scratch; 0: at random
  std::int64_t more_keys = 0;         // by which most_keys exceeds the longest
  bool far = false;                   // offsets in the scratch are beyond 32 bits; in place only
  bool on_16_bytes = false;           // strides of the runs; most then also begin there
  std::int64_t tensor_core_rows = 0;  // as AttentionLayer's
};
Form random_form(Random& random);

// What the kernels left, by [row, head]. A score or weight that was not written has all bits set.
struct Result {
  std::vector<std::vector<float>> scores;  // [length]; empty where in place
  std::vector<std::vector<float>> probs;   // [length]
  std::vector<float> context;              // [rows, heads, head_dim]
  std::vector<KeySpan> tile_keys;          // [rows]: seen by some query of the row's tile
};
Result attend(const Problem& problem, const Form& form, unsigned seed);

}  // namespace plumbline::native::cuda::testing
