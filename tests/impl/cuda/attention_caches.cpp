#include "tests/impl/cuda/attention_caches.h"

#include <algorithm>
#include <array>

namespace plumbline::native::cuda::testing {
namespace {

// Tokens [begin, end) of a step's keys and values, in a layout of their own.
DeviceRun run_of(const Problem& p, std::size_t step, std::int64_t begin, std::int64_t end, bool on_16_bytes,
                 Random& random, Memory& memory) {
  const std::int64_t tokens = end - begin, unit = on_16_bytes ? 8 : 1;
  const auto spare = [&] { return unit * pick(random, 0, 3); };
  DeviceRun run{nullptr, nullptr, tokens, 0, 0};
  if (pick(random, 0, 1) == 0) {
    run.head_stride = p.head_dim + spare();
    run.token_stride = run.head_stride * p.kv_heads + spare();
  } else {
    run.token_stride = p.head_dim + spare();
    run.head_stride = run.token_stride * tokens + spare();
  }
  const std::int64_t first = pick(random, 0, 2) == 0 ? pick(random, 0, 3) : spare();
  // To the last element: a sanitizer sees what is read beyond.
  const std::int64_t count =
      first + (tokens - 1) * run.token_stride + (p.kv_heads - 1) * run.head_stride + p.head_dim;
  Elements keys(p.cache, count), values(p.cache, count);
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t i = 0; i < p.kv_heads * p.head_dim; ++i) {
      const auto from = static_cast<std::size_t>((begin + t) * p.kv_heads * p.head_dim + i);
      const std::int64_t to =
          first + t * run.token_stride + i / p.head_dim * run.head_stride + i % p.head_dim;
      keys.put(to, p.keys[step][from]);
      values.put(to, p.values[step][from]);
    }
  }
  const std::size_t offset = static_cast<std::size_t>(first) * keys.size();
  run.keys = static_cast<std::uint8_t*>(memory.keep(keys.bytes())) + offset;
  run.values = static_cast<std::uint8_t*>(memory.keep(values.bytes())) + offset;
  return run;
}

}  // namespace

DeviceRuns runs_of(const Problem& p, std::size_t step, const Form& form, Random& random, Memory& memory) {
  DeviceRuns runs{};
  const std::int64_t count = pick(random, 1, form.most_runs), length = p.length(step);
  std::array<std::int64_t, 4> cuts{0, pick(random, 0, length), pick(random, 0, length), length};
  if (count < 3) cuts[2] = length;
  if (count < 2) cuts[1] = length;
  std::sort(cuts.begin(), cuts.end());
  int next = 0;  // empty runs come last
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    if (cuts[i] == cuts[i + 1]) continue;
    runs.runs[next++] = run_of(p, step, cuts[i], cuts[i + 1], form.on_16_bytes, random, memory);
  }
  return runs;
}

}  // namespace plumbline::native::cuda::testing
