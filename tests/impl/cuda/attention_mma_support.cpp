#include "tests/impl/cuda/attention_mma_support.h"

#include "tests/impl/cuda/attention_caches.h"
#include "tests/impl/cuda/attention_check.h"
#include "tests/impl/cuda/support.h"

namespace plumbline::native::cuda::testing {

Problem halves(Random& random, std::int64_t head_dim, std::int64_t rows, std::int64_t past,
               std::int64_t window) {
  Problem p = one_step(DType::bf16, DType::bf16, head_dim, rows, past);
  p.window = window;
  return problem_of(random, p);
}

Form tiles_of_16(std::int64_t tensor_core_rows) {
  Form form;
  form.in_place = false;
  form.tile_queries = form.part_queries = 16;
  form.tensor_core_rows = tensor_core_rows;
  return form;
}

std::vector<float> block_sums(const Problem& p, const std::vector<float>& probs) {
  const std::int64_t length = p.length(0), query = p.steps[0].rows - 1;
  const QueryTile tile{0, 1, query, query, p.steps[0].past, length, 0, length, 0};
  Memory memory;
  Random random(9);
  StepRuns runs{};
  runs.held = runs_of(p, 0, {}, random, memory);
  const DeviceArray<StepRuns> held({runs});
  const DeviceArray<QueryTile> tiles({tile});
  const DeviceArray<float> weights(probs);
  const DeviceArray<float> partial(
      static_cast<std::size_t>(attention_partials(1, length, p.heads, p.head_dim)));
  const DeviceArray<Bf16> context(static_cast<std::size_t>(p.rows() * p.heads * p.head_dim));
  AttentionLayer layer{p.storage, p.cache, p.heads, p.kv_heads, p.head_dim, p.scale, p.window};
  layer.tiles = tiles.data();
  layer.tile_count = layer.most_queries = layer.tensor_core_rows = 1;
  layer.most_keys = length;
  layer.runs = held.data();
  attention_context(nullptr, layer, weights.data(), partial.data(), context.data());
  return partial.read();
}

}  // namespace plumbline::native::cuda::testing
