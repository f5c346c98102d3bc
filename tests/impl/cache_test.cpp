#include "impl/cache.h"

#include <limits>

#include <catch2/catch.hpp>

#include "impl/cpu/engine.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr CacheShape kShape{2, 3, 4};

void grow(NativeCache& cache, SequenceId sequence, std::int64_t tokens, unsigned seed) {
  const CacheGrowth growth{sequence, tokens};
  CacheTransaction transaction(cache, {&growth, 1});
  for (int layer = 0; layer < kShape.layers; ++layer) {
    const auto floats = random_floats(static_cast<std::size_t>(2 * tokens * kShape.row()),
                                      seed + 10u * static_cast<unsigned>(layer));
    cache.append(layer, sequence, floats.data(), floats.data() + tokens * kShape.row());
  }
  transaction.commit();
}

std::unique_ptr<NativeCache> make(CacheKind kind, std::int64_t capacity = 10) {
  return make_native_cache({kind, 3, capacity, DType::f32}, kShape, 1);
}

}  // namespace

TEST_CASE("cache: both kinds hold what was appended, in order, through crop, clear and fork") {
  const auto concat = make(CacheKind::concat, 0), fixed = make(CacheKind::fixed);
  for (NativeCache* cache : {concat.get(), fixed.get()}) {
    grow(*cache, 0, 3, 1);
    grow(*cache, 0, 2, 2);
    grow(*cache, 1, 4, 3);
    cache->fork(0, 2);
    cache->crop(0, 2);
    grow(*cache, 0, 1, 4);
    CHECK(cache->length(0) == 3);
    CHECK(cache->length(2) == 5);
    cache->clear(1);
    CHECK(cache->length(1) == 0);
    CHECK(cache->read_key(0, 1).shape() == Shape{0, 3, 4});
  }
  for (int layer = 0; layer < 2; ++layer) {
    for (const SequenceId sequence : {0, 2}) {
      CHECK(same_bits(concat->read_key(layer, sequence).values<float>(),
                      fixed->read_key(layer, sequence).values<float>()));
      CHECK(same_bits(concat->read_value(layer, sequence).values<float>(),
                      fixed->read_value(layer, sequence).values<float>()));
    }
  }
  // The first two tokens are still those of the first append.
  CHECK(same_bits(concat->read_key(0, 0).values<float>().first(24),
                  concat->read_key(0, 2).values<float>().first(24)));
  CHECK_FALSE(same_bits(concat->read_key(0, 0).values<float>().subspan(24, 12),
                        concat->read_key(0, 2).values<float>().subspan(24, 12)));
}

TEST_CASE("cache: a full one says its capacity and the need, and stays as it was") {
  for (const CacheKind kind : {CacheKind::fixed, CacheKind::concat}) {
    const auto cache = make(kind, 4);
    grow(*cache, 1, 3, 1);
    const std::string error = error_of([&] { grow(*cache, 1, 2, 2); });
    CHECK_THAT(error, Catch::Contains("sequence 1 holds 3 of 4 tokens and needs room for 2 more"));
    CHECK(cache->length(1) == 3);
    grow(*cache, 1, 1, 3);
    CHECK(cache->length(1) == 4);
  }
}

TEST_CASE("cache: the concatenating one grows in bytes, the fixed one does not") {
  const auto concat = make(CacheKind::concat, 0), fixed = make(CacheKind::fixed);
  CHECK(concat->bytes() == 0);
  CHECK(fixed->bytes() == 2 * 2 * 3 * 10 * 12 * 4);
  grow(*concat, 0, 5, 1);
  grow(*fixed, 0, 5, 1);
  CHECK(concat->bytes() == 2 * 2 * 5 * 12 * 4);
  CHECK(fixed->bytes() == 2 * 2 * 3 * 10 * 12 * 4);
}

TEST_CASE("cache: specifications that cannot be met are refused by name") {
  const auto error = [](const CacheSpec& spec) {
    return error_of([&] { make_native_cache(spec, kShape, 1); });
  };
  CHECK_THAT(error({CacheKind::fixed, 1, 0, DType::f32}), Catch::Contains("capacity is 0"));
  CHECK_THAT(error({CacheKind::concat, 1, -1, DType::f32}), Catch::Contains("capacity is -1"));
  CHECK_THAT(error({CacheKind::concat, 0, 0, DType::f32}), Catch::Contains("max_sequences is 0"));
  CHECK_THAT(error({CacheKind::concat, 1, 0, DType::f16}), Catch::Contains("f16"));
  CHECK_THAT(error({CacheKind::fixed, 1, std::int64_t{1} << 60, DType::f32}), Catch::Contains("bytes"));
}

TEST_CASE("cache: lengths and sequences out of range are refused") {
  const auto cache = make(CacheKind::fixed);
  grow(*cache, 0, 2, 1);
  CHECK_THAT(error_of([&] { cache->crop(0, 3); }), Catch::Contains("holds 2"));
  CHECK_THAT(error_of([&] { cache->crop(0, -1); }), Catch::Contains("-1"));
  CHECK_THAT(error_of([&] { cache->fork(0, 3); }), Catch::Contains("no sequence 3"));
  CHECK_THAT(error_of([&] { cache->length(-1); }), Catch::Contains("no sequence -1"));
  CHECK_THAT(error_of([&] { cache->read_key(2, 0); }), Catch::Contains("no layer 2"));
}

TEST_CASE("cache: NaN in the free slots of a fixed cache changes no bit") {
  const auto engine = make_cpu_engine(tiny_model(), {.threads = 2});
  const auto ids = some_tokens(30, 1024, 1);
  const auto clean = engine->make_cache({CacheKind::fixed, 2, 64, DType::f32});
  const auto poisoned = engine->make_cache({CacheKind::fixed, 2, 64, DType::f32});
  const auto poison = [&] {
    for (int layer = 0; layer < 5; ++layer) {
      for (const SequenceId sequence : {0, 1}) {
        const CacheSlice slots = fixed_cache_slots(*poisoned, layer, sequence);
        for (std::int64_t i = poisoned->length(sequence) * 40; i < 64 * 40; ++i) {
          slots.keys[i] = slots.values[i] = std::numeric_limits<float>::quiet_NaN();
        }
      }
    }
  };
  std::size_t at = 0;
  for (const std::size_t chunk : {11, 1, 18}) {
    poison();
    const auto part = std::span(ids).subspan(at, chunk);
    at += chunk;
    CHECK(same_bits(run(*engine, *clean, part), run(*engine, *poisoned, part)));
  }
}
