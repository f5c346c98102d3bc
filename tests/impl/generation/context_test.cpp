#include "impl/generation/context.h"

#include <catch2/catch.hpp>

#include "tests/impl/generation/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

std::shared_ptr<ContextCache> cache_of(std::int64_t sequences, CacheSpec spec = {}) {
  spec.max_sequences = sequences;
  return std::make_shared<ContextCache>(tiny_engine(), spec);
}

std::vector<TokenId> held(const Context& context) {
  return {context.tokens().begin(), context.tokens().end()};
}

// Feeds what is pending; the last token's logits.
std::vector<float> feed(Context& context) {
  const SequenceStep step = context.next_step(1000);
  NullSink nothing;
  const Logits logits = tiny_engine().forward({&step, 1}, context.cache(), nothing);
  const TensorView& row = logits.steps.at(0);
  return {row.as<float>(), row.as<float>() + row.elements()};
}

}  // namespace

TEST_CASE("context: the longest common prefix stays in the cache, and the logits are those of a fresh one") {
  const auto cache = cache_of(2);
  Context context(cache), fresh(cache);
  const std::vector<TokenId> first{5, 6, 7, 8, 9, 10}, second{5, 6, 7, 20, 21};
  CHECK(context.assign(first) == 0);
  CHECK(context.pending() == 6);
  feed(context);
  CHECK(context.cached() == 6);
  CHECK(context.assign(second) == 3);
  CHECK(held(context) == second);
  CHECK(context.cached() == 3);
  CHECK(context.pending() == 2);
  fresh.assign(second);
  CHECK(same_bits(feed(context), feed(fresh)));
  // All of it there: nothing to compute until the last token is taken up again.
  CHECK(context.assign(second) == 5);
  CHECK(context.pending() == 0);
  context.reopen_last();
  CHECK(context.pending() == 1);
  CHECK(context.next_step(10).positions[0] == 4);
  // A prefix of what is held is cropped to.
  CHECK(context.assign(std::vector<TokenId>{5, 6}) == 2);
  CHECK(context.cached() == 2);
}

TEST_CASE("context: chunks ask for logits at the end alone") {
  Context context(cache_of(1));
  context.assign(std::vector<TokenId>{1, 2, 3, 4, 5});
  const SequenceStep first = context.next_step(2);
  CHECK(first.tokens.size() == 2);
  CHECK(first.logits == LogitsWanted::none);
  CHECK(context.next_step(5).logits == LogitsWanted::last);
}

TEST_CASE("context: a fork goes its own way") {
  const auto cache = cache_of(3);
  Context context(cache);
  context.assign(std::vector<TokenId>{5, 6, 7});
  feed(context);
  Context other = context.fork();
  CHECK(other.sequence() != context.sequence());
  other.append(std::vector<TokenId>{8});
  const std::vector<float> in_fork = feed(other);
  CHECK(context.length() == 3);
  context.append(std::vector<TokenId>{8});
  CHECK(same_bits(feed(context), in_fork));
}

TEST_CASE("context: sequences are given back, and refused when all are in use") {
  const auto cache = cache_of(2);
  Context one(cache);
  one.assign(std::vector<TokenId>{5, 6});
  feed(one);
  {
    Context two(cache);
    CHECK_THAT(error_of([&] { Context three(cache); }), Catch::Contains("2 sequences are in use"));
    CHECK_THAT(error_of([&] { (void)one.fork(); }), Catch::Contains("2 sequences are in use"));
  }
  Context again = one.fork();
  CHECK(again.cached() == 2);
  Context moved = std::move(again);
  CHECK(moved.cached() == 2);
  moved = Context(std::move(one));
  CHECK(moved.length() == 2);
  CHECK(Context(cache).cached() == 0);  // nothing of the former owner
}

TEST_CASE("context: eviction keeps positions, and says that the rest is not exact until it goes") {
  Context context(cache_of(1));
  context.assign(std::vector<TokenId>{5, 6, 7, 8, 9});
  feed(context);
  context.evict(1, 3);
  CHECK(held(context) == std::vector<TokenId>{5, 8, 9});
  CHECK(context.cached() == 3);
  CHECK_FALSE(context.exact());
  CHECK(context.next_position() == 5);
  context.append(std::vector<TokenId>{11});
  CHECK(context.next_step(1).positions[0] == 5);
  context.crop(1);
  CHECK(context.exact());
  CHECK(context.next_position() == 1);
  context.append(std::vector<TokenId>{8, 9});
  feed(context);
  context.evict(1, 3);  // all behind it: nothing is left that attended to it
  CHECK(context.exact());
}

TEST_CASE("context: restored tokens know what was evicted before them") {
  Context context(cache_of(1));
  context.restore({5, 8, 9}, {0, 3, 4});
  CHECK_FALSE(context.exact());
  CHECK(context.next_position() == 5);
  context.clear();
  context.restore({5, 6}, {0, 1});
  CHECK(context.exact());
  CHECK_THAT(error_of([&] { context.restore({5, 6}, {0}); }), Catch::Contains("positions"));
  CHECK_THAT(error_of([&] { context.restore({5, 6}, {1, 1}); }), Catch::Contains("positions"));
  CHECK_THAT(error_of([&] { context.restore({5, 6}, {-1, 0}); }), Catch::Contains("positions"));
}

TEST_CASE("context: refuses what makes no sense, and is as it was") {
  Context context(cache_of(1));
  context.assign(std::vector<TokenId>{5, 6, 7});
  CHECK_THAT(error_of([&] { context.crop(4); }), Catch::Contains("cannot crop 3 tokens to 4"));
  CHECK_THAT(error_of([&] { context.crop(-1); }), Catch::Contains("to -1"));
  CHECK_THAT(error_of([&] { context.evict(0, 1); }), Catch::Contains("of 0 cached"));
  CHECK(context.length() == 3);
  CacheSpec ring{.kind = CacheKind::fixed, .capacity = 8};
  ring.when_full = WhenFull::ring;
  CHECK_THAT(error_of([&] { cache_of(1, ring); }), Catch::Contains("ring"));
}

TEST_CASE("context: a cache's capacity bounds it, with room for the last token, which is not fed") {
  Context context(cache_of(1, {.kind = CacheKind::fixed, .capacity = 8}));
  CHECK(context.limit() == 9);
  CHECK(Context(cache_of(1)).limit() == tiny_engine().config().max_position_embeddings);
}
