// Launches of the kernels for the sizes of the whole Qwen2 family: no device refuses them, and they cover
// everything once.
#include <catch2/catch.hpp>

#include "impl/cuda/embedding.h"
#include "impl/cuda/linear_plan.h"
#include "impl/cuda/rms_norm.h"
#include "impl/cuda/rope.h"
#include "impl/cuda/vectors.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

const std::int64_t kRows[] = {1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 512, 2049, 32768};

// Whether each tile lies in one warp of the plan. Counts by warps, whose tiles are disjoint as their places
// are multiples of a tile.
bool covers_once(const LinearPlan& plan, std::int64_t rows, std::int64_t outs, std::int64_t weight_rows) {
  const std::int64_t height = tile_rows(plan.tile), width = tile_outs(plan.tile, weight_rows);
  const std::int64_t tiles_down = ceil_div(rows, height), tiles_across = ceil_div(outs, width);
  std::vector<char> seen(static_cast<std::size_t>(tiles_down * tiles_across));
  const auto warps = static_cast<std::uint32_t>(plan.shape.threads / kWarp);
  std::int64_t count = 0;
  for (std::uint32_t block = 0; block < plan.shape.blocks_x; ++block) {
    for (std::uint32_t warp = 0; warp < warps; ++warp) {
      const TilePlace place = place_of_warp(plan.grid, block, warp, warps, height, width);
      if (place.row % height != 0 || place.out % width != 0) return false;
      if (place.row >= rows || place.out >= outs) continue;
      char& tile = seen[static_cast<std::size_t>(place.row / height * tiles_across + place.out / width)];
      if (tile != 0) return false;
      tile = 1;
      ++count;
    }
  }
  return count == tiles_down * tiles_across;
}

struct Sizes {
  std::int64_t outs, weight_rows;
};
std::vector<Sizes> layers_of(const ModelShape& m) {
  return {{(m.heads + 2 * m.kv_heads) * m.head_dim, 1}, {m.hidden, 1}, {m.intermediate, 2}, {m.vocab, 1}};
}

}  // namespace

TEST_CASE("launch shapes: linear layers of every model at every number of rows") {
  for (const ModelShape& model : kModelShapes) {
    for (const std::int64_t rows : kRows) {
      for (const Sizes& sizes : layers_of(model)) {
        for (const std::int64_t element_size : {2, 4}) {
          const LinearPlan plan = plan_linear(rows, sizes.outs, sizes.weight_rows, element_size, true);
          CAPTURE(model.name, rows, sizes.outs, element_size);
          CHECK(fits(plan.shape));
          CHECK(plan.shape.threads <= kMostLinearThreads);
          CHECK(plan.shape.threads % (kWarp * plan.grid.row_warps) == 0);
          CHECK((plan.tile == LinearTile::one) == (rows == 1));
          if (element_size == 4) CHECK(plan.tile != LinearTile::many);
          if (rows * sizes.outs <= 1'000'000) CHECK(covers_once(plan, rows, sizes.outs, sizes.weight_rows));
        }
      }
    }
  }
}

TEST_CASE("launch shapes: linear layers of odd sizes, aligned or not") {
  for (std::int64_t rows = 1; rows < 40; ++rows) {
    for (const std::int64_t outs : {1, 2, 3, 5, 8, 63, 127, 1025, 1366, 4100}) {
      for (const std::int64_t weight_rows : {1, 2}) {
        for (const bool vectors : {true, false}) {
          CAPTURE(rows, outs, weight_rows, vectors);
          const LinearPlan plan = plan_linear(rows, outs, weight_rows, 2, vectors);
          CHECK(fits(plan.shape));
          CHECK(covers_once(plan, rows, outs, weight_rows));
          if (!vectors) CHECK(plan.tile == LinearTile::one);
        }
      }
    }
  }
  const LinearPlan plan = plan_linear(5, 1366, 1, 2, true);
  CHECK(plan.tile == LinearTile::few);  // too few of the largest tiles to fill a device
  CHECK(plan_linear(9, 1366, 1, 2, true).tile == LinearTile::many);
}

TEST_CASE("launch shapes: a decode step has a warp for each output, in enough blocks") {
  for (const ModelShape& model : kModelShapes) {
    for (const Sizes& sizes : layers_of(model)) {
      const LinearPlan plan = plan_linear(1, sizes.outs, sizes.weight_rows, 2, true);
      CHECK(plan.shape.blocks_x * plan.shape.threads / kWarp >= sizes.outs);
      CHECK(plan.shape.blocks_x >= 132);
    }
  }
}

TEST_CASE("launch shapes: elements side by side, each visited once") {
  for (const std::int64_t size : {4, 8}) {
    for (std::int64_t count = 1; count < 5000; count += count < 40 ? 1 : 331) {
      for (const bool vectors : {true, false}) {
        const ElementShare share = share_elements(count, size, vectors);
        const LaunchShape shape = shape_of_elements(share);
        std::int64_t next = 0;
        bool right = fits(shape);
        for (std::int64_t thread = 0; thread < shape.blocks_x * shape.threads; ++thread) {
          const ElementSpan span = span_of_thread(share, size, thread);
          right =
              right && (span.count == 0 || span.first == next) && (span.count <= 1 || span.first % size == 0);
          next += span.count;
        }
        CAPTURE(size, count, vectors);
        CHECK(right);
        CHECK(next == count);
      }
    }
  }
  for (const ModelShape& model : kModelShapes) {
    for (const bool vectors : {true, false}) {
      CHECK(fits(shape_of_elements(share_elements(32768 * model.intermediate, 4, vectors))));
    }
  }
}

TEST_CASE("launch shapes: rows of every model") {
  for (const ModelShape& model : kModelShapes) {
    for (const std::int64_t rows : kRows) {
      CAPTURE(model.name, rows);
      CHECK(fits(shape_of_copy_rows(rows)));
      CHECK(fits(shape_of_rms_norm(rows)));
      CHECK(fits(shape_of_cos_sin(rows, model.head_dim / 2)));
      CHECK(shape_of_cos_sin(rows, model.head_dim / 2).blocks_x * kElementThreads >=
            rows * model.head_dim / 2);
      for (const std::int64_t units : {model.head_dim / 2, model.head_dim / 16}) {
        const LaunchShape shape = shape_of_rope(rows, model.heads, units);
        CHECK(fits(shape));
        CHECK(shape.blocks_x == rows);
        CHECK(shape.blocks_y * shape.threads >= model.heads * units);
        CHECK((shape.blocks_y - 1) * shape.threads < model.heads * units);
      }
    }
  }
}
