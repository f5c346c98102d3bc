// What attention asks of a device, and how its work is cut up, for every shape of Qwen2.
#include <algorithm>
#include <vector>

#include <catch2/catch.hpp>

#include "impl/cuda/attention/attention.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

constexpr std::int64_t kKeys[] = {1, 2, 63, 64, 65, 127, 128, 129, 1000, 4096, 32767, 32768};
constexpr std::int64_t kWindows[] = {0, 1, 63, 64, 65, 1000, 4096, 32768};

AttentionLayer layer_of(const ModelShape& model, std::int64_t queries, std::int64_t keys) {
  AttentionLayer layer;
  layer.heads = model.heads;
  layer.kv_heads = model.kv_heads;
  layer.head_dim = model.head_dim;
  layer.most_queries = queries;
  layer.most_keys = keys;
  layer.tile_count = 1;
  return layer;
}

}  // namespace

TEST_CASE("Attention's launches fit a device for every Qwen2") {
  for (const ModelShape& model : kModelShapes) {
    for (std::int64_t queries = 1; queries <= kTileQueries; ++queries) {
      for (const std::int64_t keys : kKeys) {
        for (const std::int64_t window : kWindows) {
          AttentionLayer layer = layer_of(model, queries, keys);
          layer.window = window;
          for (const std::int64_t tiles : {1, 2048, 32768}) {
            layer.tile_count = tiles;
            CAPTURE(model.name, queries, keys, window, tiles);
            REQUIRE(fits(attention_scores_shape(layer, RowPart::allowed)));
            REQUIRE(fits(attention_scores_shape(layer, RowPart::whole)));
            REQUIRE(fits(attention_softmax_shape(layer)));
            REQUIRE(fits(attention_context_shape(layer, false)));
            REQUIRE(fits(attention_context_shape(layer, true)));
            REQUIRE(fits(attention_partials_shape(layer)));
          }
        }
      }
    }
  }
}

TEST_CASE("Attention's shared memory fits for every size of a head that the engine takes") {
  for (std::int64_t head_dim = 1; head_dim <= kLargestHeadDim; ++head_dim) {
    CAPTURE(head_dim);
    CHECK(scores_layout(head_dim).bytes <= kSharedBytes);
    for (const int rows : {1, 2, 8}) CHECK(context_layout(head_dim, rows).bytes <= kSharedBytes);
  }
}

TEST_CASE("Attention's launches hold all blocks of keys that a tile sees") {
  for (std::int64_t queries = 1; queries <= kTileQueries; ++queries) {
    for (const std::int64_t window : kWindows) {
      for (const std::int64_t keys : kKeys) {
        if (keys < queries) continue;
        AttentionLayer layer = layer_of(kModelShapes[0], queries, keys);
        layer.window = window;
        const std::int64_t blocks = attention_key_blocks(layer, RowPart::allowed);
        CAPTURE(queries, window, keys);
        CHECK(attention_key_blocks(layer, RowPart::whole) == key_blocks(keys));
        REQUIRE(blocks <= key_blocks(keys));
        for (std::int64_t past = 0; past + queries <= keys; past += 1 + past / 97) {
          const QueryTile tile{0, static_cast<std::int32_t>(queries), 0, 0, past, past + queries, 0, 0, 0};
          const KeySpan seen = keys_of_tile(tile, window);
          REQUIRE(seen.end == past + queries);
          REQUIRE((seen.begin / kKeyBlock + blocks) * kKeyBlock >= seen.end);
        }
      }
    }
  }
}

TEST_CASE("Attention's threads have every feature of every row of a context once") {
  for (std::int64_t head_dim = 1; head_dim <= kLargestHeadDim; ++head_dim) {
    for (const std::int64_t rows : {1, 2, 5, 7, 8, 9, 16, 31, 64, 112, 128, 1024}) {
      const ContextLayout layout = context_layout(head_dim, context_thread_rows(head_dim, rows));
      std::vector<int> times(static_cast<std::size_t>(rows * head_dim));
      for (std::int64_t first_row = 0; first_row < rows; first_row += layout.batch) {
        for (int thread = 0; thread < kAttentionThreads; ++thread) {
          const std::int64_t feature = (thread & ((1 << layout.lanes_log2) - 1)) * 4;
          const std::int64_t row = (thread >> layout.lanes_log2) * layout.thread_rows;
          if (row >= layout.batch) continue;
          for (std::int64_t r = row; r < row + layout.thread_rows && first_row + r < rows; ++r) {
            for (std::int64_t f = feature; f < feature + 4 && f < head_dim; ++f) {
              ++times[static_cast<std::size_t>((first_row + r) * head_dim + f)];
            }
          }
        }
      }
      CAPTURE(head_dim, rows);
      REQUIRE(std::count(times.begin(), times.end(), 1) == rows * head_dim);
    }
  }
}

TEST_CASE("Attention's rows of a tile: every query and head of a group once") {
  for (const int group : {1, 5, 7, 8}) {
    std::vector<int> times(static_cast<std::size_t>(16 * group));
    for (int row = 0; row < 16 * group; ++row) {
      const TileRow at = tile_row(row, 3, group);
      REQUIRE(at.head / group == 3);
      ++times[static_cast<std::size_t>(at.query * group + at.head % group)];
    }
    CHECK(std::count(times.begin(), times.end(), 1) == 16 * group);
  }
}
