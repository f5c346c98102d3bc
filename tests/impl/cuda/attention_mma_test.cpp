// Attention on tensor cores, as emulated: the documented order of sums, in every form, and who uses it.
#include "impl/cuda/attention/mma.h"

#include <tuple>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/impl/cuda/attention_check.h"
#include "tests/impl/cuda/attention_support.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

Problem halves(std::int64_t head_dim, std::int64_t rows, std::int64_t past, std::int64_t window = 0) {
  Problem p = one_step(DType::bf16, DType::bf16, head_dim, rows, past);
  p.window = window;
  return p;
}

Problem random_halves(Random& random, const Ranges& ranges) {
  Problem p = random_problem(random, ranges);
  p.storage = p.cache = DType::bf16;
  p.head_dim = pick(random, 1, ranges.most_head_dim / 16) * 16;
  return problem_of(random, p);
}

Form on_all(Form form) {
  form.tensor_core_rows = 1;
  return form;
}

constexpr std::int64_t kGroups[] = {1, 2, 3, 5, 7, 8, 9, 16};

}  // namespace

TEST_CASE("Attention on tensor cores has the documented order of sums, in every form") {
  Random random(41);
  for (unsigned i = 0; i < 40; ++i) {
    const Problem p =
        random_halves(random, i % 10 == 0 ? Ranges{128, 9, 330, 24, 1} : Ranges{64, 5, 150, 20, 2});
    const Form form = on_all(random_form(random));
    CAPTURE(i, form.partial, form.in_place, form.part == RowPart::whole, form.more_keys, form.on_16_bytes);
    const UnderSchedule under(i);
    check_result(p, form, attend(p, form, i));
  }
}

TEST_CASE("Attention on tensor cores: groups of any size, every head_dim") {
  Random random(42);
  for (const std::int64_t group : kGroups) {
    for (std::int64_t head_dim = 16; head_dim <= kLargestHeadDim; head_dim += 16) {
      if ((group + head_dim / 16) % 3 != 0 || group * head_dim > 1024) continue;
      Problem p = halves(head_dim, 17, 50);
      p.kv_heads = group < 5 ? 2 : 1;
      p.heads = p.kv_heads * group;
      p = problem_of(random, p);
      Form form = on_all({});
      form.on_16_bytes = head_dim % 32 == 0;
      form.partial = head_dim % 48 == 0;
      form.tile_queries = form.part_queries = 16;
      CAPTURE(group, head_dim);
      check_result(p, form, attend(p, form, 3));
    }
  }
}

TEST_CASE("Attention on tensor cores: keys around the edges of blocks, windows at either end") {
  Random random(43);
  for (const std::int64_t length : {1, 15, 16, 17, 63, 64, 65, 128, 129, 257, 300}) {
    for (const std::int64_t window : {0, 1, 15, 64, 65}) {
      const std::int64_t rows = std::min<std::int64_t>(length, 18);
      const Problem p = problem_of(random, halves(16, rows, length - rows, window));
      Form form = on_all({});
      form.part = (length + window) % 2 == 0 ? RowPart::allowed : RowPart::whole;
      form.in_place = form.part == RowPart::allowed;
      form.tile_queries = form.part_queries = 16;
      form.on_16_bytes = window % 2 == 0;
      CAPTURE(length, window);
      check_result(p, form, attend(p, form, 5));
    }
  }
}

TEST_CASE("Attention on tensor cores: sequences whole, in parts and token by token have the same bits") {
  Random random(44);
  for (const std::int64_t window : {0, 70}) {
    const Problem whole = problem_of(random, halves(32, 100, 0, window));
    Form form = on_all({});
    form.tile_queries = form.part_queries = 16;
    CAPTURE(window);
    check_parts(whole, form);
  }
}

TEST_CASE("Attention: a step's own rows decide whether it is on tensor cores, whatever is in its batch") {
  Random random(45);
  Problem p = halves(32, 20, 30);
  p.steps = {{0, 1, 70}, {1, 20, 30}, {21, 11, 0}, {32, 12, 64}};
  p = problem_of(random, p);
  for (const bool partial : {false, true}) {
    Form form;
    form.tensor_core_rows = 12;
    form.partial = partial;
    check_result(p, form, attend(p, form, 6));
  }
  for (const auto& [storage, cache, head_dim] : {std::tuple{DType::f32, DType::bf16, 32},
                                                 {DType::bf16, DType::f32, 32},
                                                 {DType::bf16, DType::bf16, 24}}) {
    Problem other = one_step(storage, cache, head_dim, 20, 30);
    other = problem_of(random, other);
    Form form = on_all({});
    form.in_place = false;
    check_result(other, form, attend(other, form, 7));
  }
}

TEST_CASE(
    "Attention on tensor cores: offsets in the scratch beyond 32 bits, and the same bits under every "
    "schedule") {
  Random random(46);
  const Problem p = problem_of(random, halves(32, 30, 100, 77));
  for (const bool partial : {false, true}) {
    Form form = on_all({});
    form.partial = partial;
    under_all_schedules([&](const std::string& name) {
      CAPTURE(name, partial);
      check_result(p, form, attend(p, form, 2));
    });
    form.far = true;
    check_result(p, form, attend(p, form, 1));
  }
}

TEST_CASE("Attention on tensor cores: launches fit a device for every Qwen2, and hold every row and key") {
  for (const ModelShape& model : kModelShapes) {
    AttentionLayer layer;
    layer.heads = model.heads;
    layer.kv_heads = model.kv_heads;
    layer.head_dim = model.head_dim;
    for (layer.most_queries = 1; layer.most_queries <= kTileQueries; ++layer.most_queries) {
      for (const std::int64_t keys : {1, 64, 65, 4096, 32768}) {
        layer.most_keys = keys;
        layer.tile_count = ceil_div(keys, kTileQueries);
        for (const RowPart part : {RowPart::allowed, RowPart::whole}) {
          const LaunchShape shape = attention_scores_mma_shape(layer, part);
          REQUIRE(fits(shape));
          REQUIRE(shape.blocks_y * kMmaKeyBlocks >= attention_key_blocks(layer, part));
          REQUIRE(shape.blocks_z * shape.threads / kWarp * kMmaTileRows >=
                  layer.kv_heads * attention_context_rows(layer));
        }
        for (const bool partial : {false, true}) {
          const LaunchShape shape = attention_context_mma_shape(layer, partial);
          REQUIRE(fits(shape));
          REQUIRE(shape.threads <= kMmaContextWarps * kWarp);
          REQUIRE(shape.blocks_y == (partial ? attention_key_blocks(layer, RowPart::allowed) : 1));
          REQUIRE(shape.blocks_z * shape.threads / kWarp * kMmaTileRows >=
                  layer.kv_heads * attention_context_rows(layer));
        }
      }
    }
  }
}
