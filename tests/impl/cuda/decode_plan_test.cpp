// How a decode step is shared out: for every model of the family every task and output is done once, and what
// a block needs fits into its shared memory.
#include <catch2/catch.hpp>

#include <set>

#include "impl/cuda/decode/plan.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

DecodeSizes sizes_of(const ModelShape& shape) {
  return {shape.hidden, shape.heads, shape.kv_heads, shape.head_dim, shape.intermediate};
}
constexpr std::size_t kTables = 1088;         // any multiple of 16
constexpr std::size_t kShared90 = 227 << 10;  // of a block, compute capability 9.0; 8.6 has 99 KiB

}  // namespace

TEST_CASE("decode plan: every model of the family fits a large device, most a small one") {
  for (const ModelShape& shape : kModelShapes) {
    const DecodeSizes sizes = sizes_of(shape);
    REQUIRE(decode_takes(sizes));
    for (const std::size_t storage : {2, 4}) {
      for (const std::size_t cache : {2, 4}) {
        INFO(shape.name << ", " << storage << " bytes, cache " << cache);
        const DecodeLayout large = plan_decode(sizes, storage, cache, kTables, kShared90);
        CHECK(large.tile_keys >= 64);
        CHECK(large.bytes <= kShared90);
        if (storage == 2 && cache == 2 && shape.intermediate < 20000) {
          CHECK(large.tile_keys == kMostTileKeys);
          CHECK(plan_decode(sizes, storage, cache, kTables, 99 << 10).tile_keys >= 64);
        }
      }
    }
  }
  CHECK(plan_decode(sizes_of(kModelShapes[6]), 4, 4, kTables, 99 << 10).tile_keys == 0);
}

TEST_CASE("decode plan: parts of shared memory lie apart, each on 16 bytes") {
  for (const ModelShape& shape : kModelShapes) {
    const DecodeSizes sizes = sizes_of(shape);
    const DecodeLayout layout = plan_decode(sizes, 2, 4, kTables, kShared90);
    const auto head = static_cast<std::size_t>(4 * shape.head_dim);
    const auto tile = static_cast<std::size_t>(layout.tile_keys);
    const std::pair<std::size_t, std::size_t> parts[] = {
        {layout.sums, 128},
        {layout.largests, 128},
        {layout.cos, head},
        {layout.sin, head},
        {layout.query, head},
        {layout.key, head},
        {layout.value, 128},
        {layout.partials, 65 * 128},
        {layout.scores, 65 * 256},
        {layout.probs, 16 * 256},
        {layout.norm_weight, 2 * static_cast<std::size_t>(shape.hidden)},
        {layout.x, 2 * static_cast<std::size_t>((shape.intermediate + 255) / 256 * 256)},
        {layout.key_tile, tile * static_cast<std::size_t>(layout.key_stride) * 16},
        {layout.value_tile, tile * 128}};
    std::size_t free = kTables;
    for (const auto& [at, bytes] : parts) {
      CHECK(at % 16 == 0);
      CHECK(at >= free);
      free = at + bytes;
    }
    CHECK(free <= layout.bytes);
    CHECK(layout.key_stride % 2 == 1);
    CHECK(layout.key_stride >= layout.key_packs);
  }
}

TEST_CASE("decode plan: every task of attention is there once, and each key and value is stored once") {
  for (const ModelShape& shape : kModelShapes) {
    const DecodeSizes sizes = sizes_of(shape);
    std::set<std::pair<int, int>> tasks, values;
    std::set<int> keys;
    for (int i = 0; i < decode_tasks(sizes); ++i) {
      const DecodeTask task = decode_task(sizes, i);
      CHECK(task.kv_head == task.head / (shape.heads / shape.kv_heads));
      CHECK(tasks.insert({task.head, task.slice}).second);
      if (task.stores_keys) CHECK(keys.insert(task.kv_head).second);
      if (task.stores_values) CHECK(values.insert({task.kv_head, task.slice}).second);
    }
    const auto slices = static_cast<std::size_t>((shape.head_dim + 31) / 32);
    CHECK(tasks.size() == static_cast<std::size_t>(shape.heads) * slices);
    CHECK(keys.size() == static_cast<std::size_t>(shape.kv_heads));
    CHECK(values.size() == static_cast<std::size_t>(shape.kv_heads) * slices);
  }
}

TEST_CASE("decode plan: every output is one warp's, and blocks differ by one at most") {
  for (const int outs : {1, 8, 131, 132, 133, 896, 1152, 4864, 18944}) {
    for (const int blocks : {1, 3, 132}) {
      std::vector<int> done(static_cast<std::size_t>(outs));
      for (int block = 0; block < blocks; ++block) {
        int own = 0;
        for (int warp = 0; warp < kDecodeWarps; ++warp) {
          const WarpOutputs outputs = outputs_of_warp(block, blocks, warp);
          for (int out = outputs.first; out < outs; out += outputs.stride, ++own) {
            ++done[static_cast<std::size_t>(out)];
          }
        }
        CHECK((own == outs / blocks || own == (outs + blocks - 1) / blocks));
      }
      CHECK(done == std::vector<int>(static_cast<std::size_t>(outs), 1));
    }
  }
}

TEST_CASE("decode plan: what is asked for ahead is bounded") {
  CHECK(asked_ahead(0, 2 * kPrefetchBytes));
  CHECK_FALSE(asked_ahead(1, kPrefetchBytes / 2 + 1));
  CHECK(asked_ahead(1, kPrefetchBytes / 2));
  CHECK(asked_ahead(95, 1024));
  CHECK_FALSE(asked_ahead(96, 1024));
}

TEST_CASE("decode plan: sizes that are no whole packs are refused") {
  const DecodeSizes fine{64, 4, 2, 16, 96};
  CHECK(decode_takes(fine));
  for (const auto& [part, value] : {std::pair{&DecodeSizes::hidden, 60},
                                    {&DecodeSizes::head_dim, 20},
                                    {&DecodeSizes::head_dim, 136},
                                    {&DecodeSizes::intermediate, 100}}) {
    DecodeSizes sizes = fine;
    sizes.*part = value;
    CHECK_FALSE(decode_takes(sizes));
  }
}
