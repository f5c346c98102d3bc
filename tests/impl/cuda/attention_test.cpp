#include "impl/cuda/attention/attention.h"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "tests/impl/cuda/attention_check.h"
#include "tests/impl/cuda/attention_support.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

TEST_CASE("Attention on the device has the documented order of sums, in every form") {
  Random random(11);
  for (unsigned i = 0; i < 60; ++i) {
    const Problem p = random_problem(random, i % 10 == 0 ? Ranges{128, 8, 330, 40, 1} : Ranges{});
    const Form form = random_form(random);
    CAPTURE(i, form.partial, form.in_place, form.part == RowPart::whole, form.more_keys);
    const UnderSchedule under(i);
    check_result(p, form, attend(p, form, i));
  }
}

TEST_CASE("Attention on the device: the shapes of Qwen2's heads") {
  Random random(12);
  for (const auto& [heads, kv_heads, head_dim] :
       {std::tuple{14, 2, 64}, {12, 2, 128}, {16, 2, 128}, {28, 4, 128}, {64, 8, 128}}) {
    for (const std::int64_t rows : {1, 16}) {
      Problem p = one_step(DType::bf16, DType::bf16, head_dim, rows, 150);
      p.heads = heads;
      p.kv_heads = kv_heads;
      p = problem_of(random, p);
      Form form;
      form.partial = rows == 1;
      form.on_16_bytes = true;
      form.tile_queries = form.part_queries = 16;
      check_result(p, form, attend(p, form, 3));
    }
  }
}

TEST_CASE("Attention on the device: the edges of key blocks, tiles and windows") {
  Random random(13);
  for (const std::int64_t length : {1, 63, 64, 65, 127, 128, 129, 192, 1023, 1024, 1025, 1200}) {
    for (const std::int64_t window : {0, 1, 63, 64, 65, 128}) {
      for (const std::int64_t rows : {1, 17}) {
        if (rows > length) continue;
        Problem p = one_step(DType::f32, DType::bf16, 8, rows, length - rows);
        p.window = window;
        p = problem_of(random, p);
        Form form;
        form.part = (length + window + rows) % 2 == 0 ? RowPart::allowed : RowPart::whole;
        form.in_place = form.part == RowPart::allowed;
        form.tile_queries = form.part_queries = 16;
        form.partial = rows == 1;
        CAPTURE(length, window, rows);
        check_result(p, form, attend(p, form, 5));
      }
    }
  }
}

TEST_CASE("Attention on the device: sequences whole, in parts and token by token have the same bits") {
  Random random(14);
  for (const std::int64_t window : {0, 30, 70}) {
    Problem whole = one_step(DType::bf16, DType::bf16, 18, 150, 0);
    whole.window = window;
    whole = problem_of(random, whole);
    Form form;
    form.tile_queries = form.part_queries = 16;
    CAPTURE(window);
    check_parts(whole, form);
  }
}

TEST_CASE("Attention on the device: a forbidden key's NaN reaches nobody") {
  Random random(15);
  // Blocks of keys that some queries of a tile see whole and others in part, at either end.
  for (const std::int64_t window : {0, 9, 70}) {
    Problem p = one_step(DType::f32, DType::f32, 8, 90, 50);
    p.window = window;
    p = problem_of(random, p);
    Form form;
    form.tile_queries = form.part_queries = 16;
    for (const bool partial : {false, true}) {
      form.partial = partial;
      const std::vector<float> expected = attend(p, form, 1).context;
      for (const std::int64_t bad : {0, 64, 66, 127}) {
        Problem other = p;
        const std::int64_t kv_width = p.kv_heads * p.head_dim, width = p.heads * p.head_dim;
        for (std::int64_t d = 0; d < kv_width; ++d) {
          const auto at = static_cast<std::size_t>(bad * kv_width + d);
          other.keys[0][at] = other.values[0][at] = std::numeric_limits<float>::quiet_NaN();
        }
        const std::vector<float> got = attend(other, form, 1).context;
        for (std::int64_t row = 0; row < 90; ++row) {
          for (std::int64_t i = row * width; i < (row + 1) * width; ++i) {
            const auto at = static_cast<std::size_t>(i);
            CAPTURE(window, partial, bad, row, i);
            if (sees(p, 50 + row, bad)) {
              REQUIRE(std::isnan(got[at]));
            } else {
              REQUIRE(same_bits(got[at], expected[at]));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("Attention on the device: offsets in the scratch beyond 32 bits") {
  Random random(16);
  const Problem p = problem_of(random, one_step(DType::f32, DType::f32, 12, 5, 80));
  for (const bool partial : {false, true}) {
    Form form;
    form.far = true;
    form.partial = partial;
    check_result(p, form, attend(p, form, 1));
  }
}

TEST_CASE("Attention on the device: the same bits under every schedule") {
  Random random(17);
  Problem p = one_step(DType::bf16, DType::f32, 20, 30, 100);
  p.window = 77;
  p = problem_of(random, p);
  for (const bool partial : {false, true}) {
    Form form;
    form.partial = partial;
    under_all_schedules([&](const std::string& name) {
      CAPTURE(name, partial);
      check_result(p, form, attend(p, form, 2));
    });
  }
}
