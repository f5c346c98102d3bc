// Keys and values in several places, by any strides: what a cache hands to attention.
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "impl/cpu/attention.h"
#include "impl/cpu/isa.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr std::int64_t kHeads = 6, kKvHeads = 2, kDim = 20, kPast = 77;

struct Problem {
  std::vector<float> queries, keys, values;
  AttentionInput input;  // without runs
};

Problem make_problem(std::int64_t tokens, std::optional<std::int64_t> window) {
  Problem p;
  p.input.tokens = tokens;
  p.input.length = kPast + tokens;
  p.input.heads = kHeads;
  p.input.kv_heads = kKvHeads;
  p.input.head_dim = kDim;
  p.input.scale = 1.0f / std::sqrt(static_cast<float>(kDim));
  p.input.window = window;
  p.queries = random_floats(static_cast<std::size_t>(tokens * kHeads * kDim), 1);
  p.keys = random_floats(static_cast<std::size_t>(p.input.length * kKvHeads * kDim), 2);
  p.values = random_floats(p.keys.size(), 3);
  return p;
}

std::vector<float> one_run(const CpuContext& context, const Problem& p) {
  AttentionInput in = p.input;
  in.queries = p.queries.data();
  in.runs.add({p.keys.data(), p.values.data(), in.length, kKvHeads * kDim, kDim});
  std::vector<float> out(p.queries.size());
  attention(context, in, out.data());
  return out;
}

// Keys [begin, end) as [kv_heads, slots, 2, head_dim], each key with its value; NaN in two slots after them.
std::vector<float> by_head(const Problem& p, std::int64_t begin, std::int64_t end) {
  const std::int64_t slots = end - begin + 2;
  std::vector<float> memory(static_cast<std::size_t>(kKvHeads * slots * 2 * kDim),
                            std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t key = begin; key < end; ++key) {
    for (std::int64_t head = 0; head < kKvHeads; ++head) {
      float* to = memory.data() + (head * slots + key - begin) * 2 * kDim;
      std::copy_n(p.keys.data() + (key * kKvHeads + head) * kDim, kDim, to);
      std::copy_n(p.values.data() + (key * kKvHeads + head) * kDim, kDim, to + kDim);
    }
  }
  return memory;
}

// Three runs, which end at `first`, `second` and the length.
std::vector<float> three_runs(const CpuContext& context, const Problem& p, std::int64_t first,
                              std::int64_t second) {
  AttentionInput in = p.input;
  in.queries = p.queries.data();
  std::vector<std::vector<float>> memory;
  std::int64_t begin = 0;
  for (const std::int64_t end : {first, second, in.length}) {
    memory.push_back(by_head(p, begin, end));
    const float* data = memory.back().data();
    in.runs.add({data, data + kDim, end - begin, 2 * kDim, (end - begin + 2) * 2 * kDim});
    begin = end;
  }
  std::vector<float> out(p.queries.size());
  attention(context, in, out.data());
  return out;
}

}  // namespace

TEST_CASE("attention: runs that end anywhere, in another layout, give the bits of one") {
  const std::optional<std::int64_t> windows[] = {std::nullopt, 19};
  for (const std::optional<std::int64_t> window : windows) {
    for (const std::int64_t tokens : {1, 30}) {
      const Problem p = make_problem(tokens, window);
      const std::int64_t ends[][2] = {{1, 2}, {31, 33}, {32, 64}, {40, 41}, {7, p.input.length - 1}, {0, 50}};
      for (const auto& [first, second] : ends) {
        for (const std::string& isa : available_isas()) {
          INFO(tokens << " tokens, runs end at " << first << " and " << second << ", " << isa);
          ThreadPool pool(2);
          const CpuContext context{kernels_for(isa), pool};
          CHECK(same_bits(three_runs(context, p, first, second), one_run(context, p)));
        }
      }
    }
  }
}
