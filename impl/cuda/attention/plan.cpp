#include "impl/cuda/attention/plan.h"

#include <algorithm>
#include <bit>

#include "impl/cuda/attention/attention.h"

namespace plumbline::native::cuda {
namespace {

constexpr std::int64_t kFewestKeys = 256;        // of a launch that is rounded up
constexpr std::int64_t kEnoughBlocks = 2 * 132;  // two for each multiprocessor of a large device

std::int64_t rounded_up(std::int64_t keys) {
  const auto power = std::bit_ceil(static_cast<std::uint64_t>(std::max(keys, kFewestKeys)));
  return static_cast<std::int64_t>(power);
}

class Planner {
 public:
  Planner(const Batch& batch, const AttentionSizes& sizes, bool whole)
      : batch_(batch), sizes_(sizes), whole_(whole) {}

  AttentionPlan run() {
    for (std::size_t i = 0; i < batch_.steps.size(); ++i) add_step(static_cast<std::int32_t>(i));
    end_wave();
    return std::move(plan_);
  }

 private:
  // As many queries of a step as the scratch has room for, whole tiles of them.
  std::int64_t part_queries(const BatchStep& step) const {
    if (whole_) return step.rows;
    const std::int64_t fit = kMostScores / (sizes_.heads * (step.past + step.rows));
    return std::max<std::int64_t>(fit / kTileQueries, 1) * kTileQueries;
  }

  void add_step(std::int32_t index) {
    const BatchStep& step = batch_.steps[static_cast<std::size_t>(index)];
    const std::int64_t most = part_queries(step);
    for (std::int64_t query = 0; query < step.rows; query += most) {
      add_part(index, query, std::min(most, step.rows - query));
    }
  }

  void add_part(std::int32_t index, std::int64_t first, std::int64_t queries) {
    const BatchStep& step = batch_.steps[static_cast<std::size_t>(index)];
    const std::int64_t length = step.past + step.rows;
    const std::int64_t needed = sizes_.heads * queries * length;
    if (!whole_ && scores_ > 0 && scores_ + needed > kMostScores) end_wave();
    wave_.fewest_rows = wave_.tiles == 0 ? step.rows : std::min(wave_.fewest_rows, step.rows);
    wave_.most_rows = std::max(wave_.most_rows, step.rows);
    for (std::int64_t done = 0; done < queries; done += kTileQueries) {
      QueryTile tile{};
      tile.step = index;
      tile.queries = static_cast<std::int32_t>(std::min<std::int64_t>(kTileQueries, queries - done));
      tile.first_query = first + done;
      tile.first_row = step.first_row + tile.first_query;
      tile.past = step.past;
      tile.length = length;
      tile.scores = scores_ + done * length;
      tile.head_stride = queries * length;
      wave_.most_queries = std::max<std::int64_t>(wave_.most_queries, tile.queries);
      wave_.most_keys = std::max(wave_.most_keys, length);
      plan_.tiles.push_back(tile);
      ++wave_.tiles;
    }
    scores_ += needed;
  }

  void end_wave() {
    if (wave_.tiles == 0) return;
    if (!whole_) wave_.most_keys = rounded_up(wave_.most_keys);
    // One row's keys may grow up to that before anything is launched differently.
    const std::int64_t grown = wave_.tiles * wave_.most_queries * sizes_.heads * wave_.most_keys;
    plan_.scores = std::max({plan_.scores, scores_, whole_ ? 0 : std::min(grown, kMostScores)});
    place_partials();
    plan_.waves.push_back(wave_);
    wave_ = {plan_.waves.back().first_tile + plan_.waves.back().tiles};
    scores_ = 0;
  }

  void place_partials() {
    if (wave_.most_keys <= kKeyBlock || wave_.tiles * sizes_.kv_heads >= kEnoughBlocks) return;
    std::int64_t needed = 0;
    const auto first = plan_.tiles.begin() + wave_.first_tile;
    for (auto tile = first; tile != plan_.tiles.end(); ++tile) {
      tile->partial = needed;
      needed += attention_partials(tile->queries, wave_.most_keys, sizes_.heads, sizes_.head_dim);
    }
    if (needed > kMostPartials) return;
    wave_.keys_apart = true;
    plan_.partials = std::max(plan_.partials, needed);
  }

  const Batch& batch_;
  const AttentionSizes& sizes_;
  bool whole_;
  AttentionPlan plan_;
  AttentionWave wave_;
  std::int64_t scores_ = 0;  // of the open wave
};

}  // namespace

AttentionPlan plan_attention(const Batch& batch, const AttentionSizes& sizes, bool whole) {
  return Planner(batch, sizes, whole).run();
}

}  // namespace plumbline::native::cuda
