#include "impl/cpu/engine.h"

#include <catch2/catch.hpp>

#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

std::vector<float> prefill(Engine& engine, std::span<const TokenId> tokens) {
  return run(engine, *engine.make_cache({}), tokens);
}

}  // namespace

TEST_CASE("engine: every instruction set and number of threads gives the same bits") {
  const auto ids = some_tokens(45, 1024, 1);
  const auto first = prefill(*make_cpu_engine(tiny_model(), {.threads = 1, .isa = "scalar"}), ids);
  for (const std::string& isa : available_isas()) {
    for (const int threads : {1, 2, 5}) {
      INFO(isa << ", " << threads << " threads");
      const auto engine = make_cpu_engine(tiny_model(), {.threads = threads, .isa = isa});
      CHECK(engine->info().isa == isa);
      CHECK(engine->info().threads == threads);
      CHECK(same_bits(prefill(*engine, ids), first));
    }
  }
}

TEST_CASE("engine: options and weights out of range are refused by name") {
  CHECK_THAT(error_of([] { make_cpu_engine(tiny_model(), {.isa = "avx1024"}); }),
             Catch::Contains("avx1024") && Catch::Contains("scalar"));
  CHECK_THAT(error_of([] { make_cpu_engine(tiny_model(), {.threads = -1}); }), Catch::Contains("-1 threads"));
  CHECK_THAT(error_of([] { make_cpu_engine(tiny_model(), {.storage = DType::f64}); }),
             Catch::Contains("f64"));
  CHECK_THAT(error_of([] { make_cpu_engine("/nonexistent", {}); }), Catch::Contains("/nonexistent"));
}

TEST_CASE("engine: the weight hash is that of the files, whatever the engine") {
  const auto engine = make_cpu_engine(tiny_model(), {});
  CHECK(engine->weight_hash().size() == 64);
  CHECK(engine->weight_hash() == make_cpu_engine(tiny_model(), {.isa = "scalar"})->weight_hash());
}
