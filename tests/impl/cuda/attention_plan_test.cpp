#include "impl/cuda/attention/plan.h"

#include <algorithm>
#include <vector>

#include <catch2/catch.hpp>

#include "impl/cuda/attention/attention.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::cuda;

namespace {

Batch batch_of(const std::vector<std::pair<std::int64_t, std::int64_t>>& rows_and_past) {
  Batch batch;
  for (const auto& [rows, past] : rows_and_past) {
    BatchStep step;
    step.sequence = static_cast<SequenceId>(batch.steps.size());
    step.first_row = batch.rows;
    step.rows = rows;
    step.past = past;
    batch.rows += rows;
    batch.steps.push_back(step);
  }
  return batch;
}

struct Span {
  std::int64_t begin;
  std::int64_t end;
};

bool disjoint(std::vector<Span> spans) {
  std::ranges::sort(spans, {}, &Span::begin);
  for (std::size_t i = 1; i < spans.size(); ++i) {
    if (spans[i].begin < spans[i - 1].end) return false;
  }
  return true;
}

// Every query of every step stands in one tile, whose places in the scratch lie within it and are no other's.
void check_plan(const AttentionPlan& plan, const Batch& batch, const AttentionSizes& sizes) {
  std::vector<int> visits(static_cast<std::size_t>(batch.rows));
  std::int64_t next_tile = 0;
  for (const AttentionWave& wave : plan.waves) {
    CHECK(wave.first_tile == next_tile);
    next_tile += wave.tiles;
    std::vector<Span> scores, partials;
    for (std::int64_t t = wave.first_tile; t < next_tile; ++t) {
      const QueryTile& tile = plan.tiles[static_cast<std::size_t>(t)];
      const BatchStep& step = batch.steps[static_cast<std::size_t>(tile.step)];
      REQUIRE((tile.queries >= 1 && tile.queries <= kTileQueries && tile.queries <= wave.most_queries));
      CHECK(tile.length == step.past + step.rows);
      CHECK(tile.past == step.past);
      CHECK(tile.length <= wave.most_keys);
      CHECK(tile.first_row == step.first_row + tile.first_query);
      for (int q = 0; q < tile.queries; ++q) ++visits[static_cast<std::size_t>(tile.first_row + q)];
      for (std::int64_t head = 0; head < sizes.heads; ++head) {
        const std::int64_t at = tile.scores + head * tile.head_stride;
        scores.push_back({at, at + tile.queries * tile.length});
        CHECK(scores.back().end <= plan.scores);
      }
      if (!wave.keys_apart) continue;
      partials.push_back({tile.partial, tile.partial + attention_partials(tile.queries, wave.most_keys,
                                                                          sizes.heads, sizes.head_dim)});
      CHECK(partials.back().end <= plan.partials);
    }
    CHECK(disjoint(scores));
    CHECK(disjoint(partials));
  }
  CHECK(next_tile == static_cast<std::int64_t>(plan.tiles.size()));
  CHECK(std::ranges::all_of(visits, [](int n) { return n == 1; }));
}

}  // namespace

TEST_CASE("cuda attention plan: every query once, in places of its own, for every shape of Qwen2") {
  const AttentionSizes shapes[] = {{14, 2, 64},  {12, 2, 128}, {16, 2, 128}, {28, 4, 128},
                                   {40, 8, 128}, {64, 8, 128}, {3, 1, 10}};
  const std::vector<std::vector<std::pair<std::int64_t, std::int64_t>>> batches{
      {{1, 0}},    {{1, 31}, {1, 700}},   {{17, 0}, {1, 5}, {64, 64}},
      {{2048, 0}}, {{512, 7680}, {1, 3}}, {{33, 32735}}};
  for (const AttentionSizes& sizes : shapes) {
    for (const auto& steps : batches) {
      const Batch batch = batch_of(steps);
      const AttentionPlan plan = plan_attention(batch, sizes, false);
      check_plan(plan, batch, sizes);
      const bool one_tile_needs_more = sizes.heads * kTileQueries * 32768 > kMostScores;
      CHECK((plan.scores <= kMostScores || one_tile_needs_more));
      CHECK(plan.partials <= kMostPartials);
    }
  }
}

TEST_CASE("cuda attention plan: for who looks, a step's scores lie together") {
  const Batch batch = batch_of({{40, 3}, {1, 9}, {5, 0}});
  const AttentionSizes sizes{4, 2, 16};
  const AttentionPlan plan = plan_attention(batch, sizes, true);
  check_plan(plan, batch, sizes);
  REQUIRE(plan.waves.size() == 1);
  CHECK(plan.scores == 4 * (40 * 43 + 10 + 25));
  for (const QueryTile& tile : plan.tiles) {
    const std::int64_t before = tile.step == 0 ? 0 : tile.step == 1 ? 4 * 40 * 43 : 4 * (40 * 43 + 10);
    CHECK(tile.head_stride == batch.steps[static_cast<std::size_t>(tile.step)].rows * tile.length);
    CHECK(tile.scores == before + tile.first_query * tile.length);
  }
}

TEST_CASE("cuda attention plan: decode steps differ in their tables alone until the length doubles") {
  const AttentionSizes sizes{28, 4, 128};
  const AttentionPlan first = plan_attention(batch_of({{1, 300}}), sizes, false);
  for (const std::int64_t past : {301, 400, 511}) {
    const AttentionPlan plan = plan_attention(batch_of({{1, past}}), sizes, false);
    CHECK(plan.waves[0].most_keys == first.waves[0].most_keys);
    CHECK(plan.waves[0].keys_apart == first.waves[0].keys_apart);
    CHECK(plan.scores == first.scores);
    CHECK(plan.partials == first.partials);
  }
  CHECK(plan_attention(batch_of({{1, 512}}), sizes, false).waves[0].most_keys == 1024);
}
