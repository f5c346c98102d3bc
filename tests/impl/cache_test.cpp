#include "impl/cache.h"

#include <catch2/catch.hpp>

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
  CHECK(concat->bytes() == 2 * 2 * (5 + 16) * 12 * 4);  // 16 slots to spare, or an eighth
  grow(*concat, 0, 16, 2);
  CHECK(concat->bytes() == 2 * 2 * 21 * 12 * 4);
  grow(*concat, 0, 395, 3);
  CHECK(concat->bytes() == 2 * 2 * (416 + 416 / 8) * 12 * 4);
  concat->crop(0, 10);
  CHECK(concat->bytes() == 2 * 2 * (10 + 16) * 12 * 4);
  concat->clear(0);
  CHECK(concat->bytes() == 0);
  CHECK(fixed->bytes() == 2 * 2 * 3 * 10 * 12 * 4);
}

TEST_CASE("cache: specifications that cannot be met are refused by name") {
  const auto error = [](const CacheSpec& spec) {
    return error_of([&] { make_native_cache(spec, kShape, 1); });
  };
  CHECK_THAT(error({CacheKind::fixed, 1, 0, DType::f32}), Catch::Contains("capacity is 0"));
  CHECK_THAT(error({CacheKind::concat, 1, -1, DType::f32}), Catch::Contains("capacity is -1"));
  CHECK_THAT(error({CacheKind::concat, 0, 0, DType::f32}), Catch::Contains("max_sequences is 0"));
  CHECK_THAT(error({CacheKind::concat, 65537, 0, DType::f32}), Catch::Contains("max_sequences is 65537"));
  for (const DType dtype : {DType::f64, DType::i32, DType::boolean}) {
    CHECK_THAT(error({CacheKind::concat, 1, 0, dtype}),
               Catch::Contains("does not store " + std::string(dtype_name(dtype))));
  }
  CHECK_THAT(error({CacheKind::fixed, 1, 9, DType::f32, static_cast<CacheLayout>(3)}),
             Catch::Contains("layout 3"));
  CHECK_THAT(error({CacheKind::fixed, 1, 9, DType::f32, {}, static_cast<CachePacking>(7)}),
             Catch::Contains("packing 7"));
  CHECK_THAT(error({CacheKind::fixed, 1, 9, DType::f32, {}, {}, -1}),
             Catch::Contains("prefill_capacity is -1"));
  CHECK_THAT(error({CacheKind::fixed, 1, 9, DType::f32, {}, {}, 9}),
             Catch::Contains("prefill_capacity 9 leaves no slot of 9"));
  CHECK_THAT(error({CacheKind::concat, 1, 9, DType::f32, {}, {}, 4}),
             Catch::Contains("prefill_capacity is 4"));
  CHECK_THAT(error({CacheKind::concat, 1, 9, DType::f32, {}, {}, 0, WhenFull::ring}),
             Catch::Contains("ring"));
  // 2 parts * 4 bytes * 2 layers * 12 features * 2^60 tokens
  CHECK_THAT(error({CacheKind::fixed, 1, std::int64_t{1} << 60, DType::f32}),
             Catch::Contains("needs 221360928884514619392 bytes"));
  const CacheShape sliding{2, 3, 4, true};
  CHECK_THAT(error_of([&] {
               make_native_cache({CacheKind::fixed, 1, 9, DType::f32, {}, {}, 0, WhenFull::ring}, sliding, 1);
             }),
             Catch::Contains("sliding windows"));
}

TEST_CASE("cache: lengths and sequences out of range are refused") {
  const auto cache = make(CacheKind::fixed);
  grow(*cache, 0, 2, 1);
  CHECK_THAT(error_of([&] { cache->crop(0, 3); }), Catch::Contains("holds 2"));
  CHECK_THAT(error_of([&] { cache->crop(0, -1); }), Catch::Contains("-1"));
  CHECK_THAT(error_of([&] { cache->fork(0, 3); }), Catch::Contains("no sequence 3"));
  CHECK_THAT(error_of([&] { cache->length(-1); }), Catch::Contains("no sequence -1"));
  CHECK_THAT(error_of([&] { cache->read_key(2, 0); }), Catch::Contains("no layer 2"));
  CHECK_THAT(error_of([&] { cache->view(2, 0); }), Catch::Contains("no layer 2"));
  CHECK_THAT(error_of([&] { cache->evict(0, 1, 3); }), Catch::Contains("tokens 1 to 3: it holds 2"));
  CHECK_THAT(error_of([&] { cache->evict(0, 2, 1); }), Catch::Contains("tokens 2 to 1"));
  const std::vector<float> tokens(24), part(25);
  CHECK_THAT(error_of([&] { cache->write_prefill(0, tokens, tokens); }),
             Catch::Contains("holds 2 tokens already"));
  CHECK_THAT(error_of([&] { cache->update(0, part, part); }), Catch::Contains("25 keys"));
  CHECK_THAT(error_of([&] { cache->update(0, tokens, part); }), Catch::Contains("25 values"));
  CHECK_THAT(error_of([&] { cache->update(0, {}, {}); }), Catch::Contains("0 keys"));
  CHECK(cache->length(0) == 2);
  const auto sliding = make_native_cache({CacheKind::concat, 1, 0, DType::f32}, {2, 3, 4, true}, 1);
  sliding->write_prefill(0, tokens, tokens);
  CHECK_THAT(error_of([&] { sliding->evict(0, 0, 1); }), Catch::Contains("sliding windows"));
}

TEST_CASE("cache: a full one with two buffers says what each holds; the prefill's is for several tokens") {
  const auto cache = make_native_cache({CacheKind::fixed, 1, 10, DType::f32, {}, {}, 6}, kShape, 1);
  grow(*cache, 0, 1, 1);  // the first step is the prefill, even of one token
  grow(*cache, 0, 3, 2);
  CHECK_THAT(
      error_of([&] { grow(*cache, 0, 5, 3); }),
      Catch::Contains("holds 4 of 10 tokens (4 of 6 of the prefill, 0 of 4 after it) and needs room for 5"));
  grow(*cache, 0, 1, 4);
  CHECK(cache->view(0, 0).runs.size() == 2);
  CHECK(cache->view(0, 0).runs[0].tokens == 4);
  grow(*cache, 0, 2, 5);  // would fit the prefill's buffer, but another token came first
  CHECK(cache->view(0, 0).runs[0].tokens == 4);
  CHECK_THAT(error_of([&] { grow(*cache, 0, 2, 6); }), Catch::Contains("3 of 4 after it"));
  CHECK(cache->length(0) == 7);
  cache->crop(0, 3);  // the other buffer is empty again
  grow(*cache, 0, 3, 7);
  CHECK(cache->view(0, 0).runs.size() == 1);
}

TEST_CASE("cache: a ring forgets the oldest token after the prefill, and refuses a step longer than itself") {
  const auto cache =
      make_native_cache({CacheKind::fixed, 1, 10, DType::f32, {}, {}, 6, WhenFull::ring}, kShape, 1);
  const auto list = make_native_cache({CacheKind::concat, 1, 0, DType::f32}, kShape, 1);
  const auto both = [&](std::int64_t tokens, unsigned seed) {
    grow(*cache, 0, tokens, seed);
    grow(*list, 0, tokens, seed);
  };
  both(6, 1);
  for (unsigned seed = 2; seed < 6; ++seed) both(1, seed);
  for (const std::int64_t tokens : {1, 3, 1, 2, 4, 1}) {
    CHECK(cache->past_of(0, tokens) == 10 - tokens);
    list->evict(0, 6, 6 + tokens);
    both(tokens, static_cast<unsigned>(10 + tokens));
    CHECK(cache->length(0) == 10);
    CHECK(same_bits(cache->read_key(1, 0).values<float>(), list->read_key(1, 0).values<float>()));
    CHECK(same_bits(cache->read_value(0, 0).values<float>(), list->read_value(0, 0).values<float>()));
  }
  CHECK_THAT(error_of([&] { grow(*cache, 0, 5, 9); }), Catch::Contains("needs room for 5 more"));
  grow(*cache, 0, 1, 1);
  cache->clear(0);
  grow(*cache, 0, 6, 1);
  grow(*cache, 0, 4, 2);
  CHECK(cache->view(0, 0).runs.size() == 2);  // an empty ring begins at its first slot again
}
