#include "tests/impl/cuda/attention_support.h"

#include <algorithm>
#include <cmath>

#include "tests/impl/cuda/attention_caches.h"
#include "tests/impl/cuda/support.h"

namespace plumbline::native::cuda::testing {
namespace {

struct Plan {
  std::vector<QueryTile> tiles;
  std::int64_t scores = 0;
  std::int64_t partials = 0;
};

// Where the scratch begins, in floats behind the pointers that the kernels are given.
struct Base {
  std::int64_t scores = 0;
  std::int64_t partials = 0;
};

Plan plan_of(const Problem& p, const Form& form, std::int64_t most_keys, Base base, Random& random) {
  Plan plan;
  for (std::size_t s = 0; s < p.steps.size(); ++s) {
    const StepEntry& step = p.steps[s];
    for (std::int64_t first = 0; first < step.rows;) {
      const std::int64_t most =
          std::min(step.rows - first, form.part_queries > 0 ? form.part_queries : pick(random, 1, step.rows));
      plan.scores += pick(random, 0, 5);
      for (std::int64_t done = 0; done < most;) {
        const std::int64_t wanted = form.tile_queries > 0 ? form.tile_queries : pick(random, 1, kTileQueries);
        const std::int64_t queries = std::min(wanted, most - done);
        plan.tiles.push_back({static_cast<std::int32_t>(s), static_cast<std::int32_t>(queries), first + done,
                              step.first_row + first + done, step.past, p.length(s),
                              base.scores + plan.scores + done * p.length(s), most * p.length(s),
                              base.partials + plan.partials});
        plan.partials += attention_partials(queries, most_keys, p.heads, p.head_dim) + pick(random, 0, 5);
        done += queries;
      }
      plan.scores += p.heads * most * p.length(s);
      first += most;
    }
  }
  return plan;
}

std::int64_t floats_between(const float* from, const float* to) {
  return static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(to) -
                                   reinterpret_cast<std::intptr_t>(from)) /
         static_cast<std::int64_t>(sizeof(float));
}

std::vector<std::vector<float>> rows_of(const Problem& p, const Plan& plan, Base base,
                                        const std::vector<float>& scratch) {
  std::vector<std::vector<float>> rows(static_cast<std::size_t>(p.rows() * p.heads));
  for (const QueryTile& tile : plan.tiles) {
    for (std::int64_t i = 0; i < tile.queries * p.heads; ++i) {
      const std::int64_t query = i / p.heads, head = i % p.heads;
      const auto from =
          scratch.begin() + tile.scores - base.scores + head * tile.head_stride + query * tile.length;
      rows[static_cast<std::size_t>((tile.first_row + query) * p.heads + head)].assign(from,
                                                                                       from + tile.length);
    }
  }
  return rows;
}

// Of the sizes that plan_of() will ask for with the same random numbers.
struct Scratch {
  using Floats = std::unique_ptr<DeviceArray<float>>;
  Floats near, scores, probs, partial;
  float* given_scores;
  float* given_partial;
  Base base;

  Scratch(const Problem& p, const Form& form, std::int64_t most_keys, Random random) {
    const auto floats = [](std::int64_t count) {
      return std::make_unique<DeviceArray<float>>(static_cast<std::size_t>(count));
    };
    const Plan plan = plan_of(p, form, most_keys, {}, random);
    const std::int64_t least = form.far ? std::int64_t{10} << 20 : 0;  // so much lies far from what is small
    near = floats(16);
    scores = floats(std::max(plan.scores, least));
    probs = floats(plan.scores);
    partial = floats(std::max(plan.partials, least));
    given_scores = (form.far ? near : scores)->data();
    given_partial = (form.far ? near : partial)->data();
    base = {floats_between(given_scores, scores->data()), floats_between(given_partial, partial->data())};
    if (form.far) REQUIRE(std::min(std::abs(base.scores), std::abs(base.partials)) > std::int64_t{1} << 32);
  }
};

AttentionLayer layer_of(const Problem& p, const Plan& plan, std::int64_t most_keys, const QueryTile* tiles,
                        const StepRuns* runs) {
  AttentionLayer layer{p.storage, p.cache, p.heads, p.kv_heads, p.head_dim, p.scale, p.window};
  layer.tiles = tiles;
  layer.tile_count = static_cast<std::int64_t>(plan.tiles.size());
  for (const QueryTile& tile : plan.tiles) {
    layer.most_queries = std::max<std::int64_t>(layer.most_queries, tile.queries);
  }
  layer.most_keys = most_keys;
  layer.runs = runs;
  return layer;
}

}  // namespace

std::int64_t pick(Random& random, std::int64_t least, std::int64_t most) {
  return std::uniform_int_distribution<std::int64_t>(least, most)(random);
}

std::vector<float> normal_floats(Random& random, std::int64_t count, DType dtype) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = rounded_to(dtype, normal(random));
  return values;
}

Problem problem_of(Random& random, const Problem& sizes) {
  Problem p = sizes;
  p.scale = 1.0f / std::sqrt(static_cast<float>(p.head_dim));
  p.queries = normal_floats(random, p.rows() * p.heads * p.head_dim, p.storage);
  p.keys.clear();
  p.values.clear();
  for (std::size_t s = 0; s < p.steps.size(); ++s) {
    p.keys.push_back(normal_floats(random, p.length(s) * p.kv_heads * p.head_dim, p.cache));
    p.values.push_back(normal_floats(random, p.length(s) * p.kv_heads * p.head_dim, p.cache));
  }
  return p;
}

Problem random_problem(Random& random, const Ranges& ranges) {
  Problem p;
  p.storage = pick(random, 0, 1) == 0 ? DType::f32 : DType::bf16;
  p.cache = pick(random, 0, 1) == 0 ? DType::f32 : DType::bf16;
  p.kv_heads = pick(random, 1, 3);
  p.heads = p.kv_heads * pick(random, 1, ranges.most_group);
  p.head_dim = pick(random, 1, ranges.most_head_dim / 2) * 2;
  const std::int64_t steps = pick(random, 1, ranges.most_steps);
  std::int64_t row = 0;
  for (std::int64_t s = 0; s < steps; ++s) {
    p.steps.push_back({row, pick(random, 1, ranges.most_rows), pick(random, 0, ranges.most_past)});
    row += p.steps.back().rows;
  }
  if (pick(random, 0, 2) > 0) p.window = pick(random, 1, ranges.most_past);
  return problem_of(random, p);
}

Form random_form(Random& random) {
  Form form;
  form.part = pick(random, 0, 1) == 0 ? RowPart::allowed : RowPart::whole;
  form.in_place = pick(random, 0, 1) == 0;
  form.partial = pick(random, 0, 1) == 0;
  form.more_keys = pick(random, 0, 2) * pick(random, 0, 100);
  form.on_16_bytes = pick(random, 0, 1) == 0;
  return form;
}

Result attend(const Problem& p, const Form& form, unsigned seed) {
  Random random(seed);
  Memory memory;
  std::vector<StepRuns> held(p.steps.size());
  std::int64_t most_keys = 0;
  for (std::size_t s = 0; s < p.steps.size(); ++s) {
    held[s].held = runs_of(p, s, form, random, memory);
    most_keys = std::max(most_keys, p.length(s) + form.more_keys);
  }
  const DeviceArray<StepRuns> runs(held);
  Elements queries(p.storage, p.rows() * p.heads * p.head_dim);
  for (std::size_t i = 0; i < p.queries.size(); ++i) {
    queries.put(static_cast<std::int64_t>(i), p.queries[i]);
  }
  const Scratch scratch(p, form, most_keys, random);
  const Plan plan = plan_of(p, form, most_keys, scratch.base, random);
  const DeviceArray<QueryTile> tiles(plan.tiles);
  const DeviceArray<std::uint8_t> context(queries.bytes().size());

  AttentionLayer layer = layer_of(p, plan, most_keys, tiles.data(), runs.data());
  layer.tensor_core_rows = form.tensor_core_rows;
  float* probs = form.in_place ? scratch.given_scores : scratch.probs->data();
  attention_scores(nullptr, layer, memory.keep(queries.bytes()), scratch.given_scores, form.part);
  attention_softmax(nullptr, layer, scratch.given_scores, probs, form.part);
  attention_context(nullptr, layer, probs, form.partial ? scratch.given_partial : nullptr, context.data());

  Result result;
  if (!form.in_place) result.scores = rows_of(p, plan, scratch.base, scratch.scores->read());
  result.probs = rows_of(p, plan, scratch.base, (form.in_place ? scratch.scores : scratch.probs)->read());
  Elements out(p.storage, p.rows() * p.heads * p.head_dim);
  out.bytes() = context.read();
  for (std::int64_t i = 0; i < p.rows() * p.heads * p.head_dim; ++i) result.context.push_back(out.get(i));
  for (const QueryTile& tile : plan.tiles) {
    result.tile_keys.insert(result.tile_keys.end(), static_cast<std::size_t>(tile.queries),
                            keys_of_tile(tile, p.window));
  }
  return result;
}

}  // namespace plumbline::native::cuda::testing
