#include "impl/generation/attention_patterns.h"

#include <algorithm>
#include <numeric>

#include <catch2/catch.hpp>

#include "tests/impl/generation/listening_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

// The trace's weights of one token and head, over the keys that it may see.
std::vector<float> expected_weights(const Trace& trace, const ActivationOrigin& origin, int layer,
                                    std::int64_t head) {
  const TraceStep& step = step_of(trace, origin.sequence, origin.step);
  const Tensor& probs = step.tensors.at({Probe::probs, layer});
  const std::int64_t tokens = probs.shape()[1], keys = probs.shape()[2];
  const std::int64_t token = origin.position - step.given->positions.front();
  const float* row = probs.values<float>().data() + (head * tokens + token) * keys;
  return {row, row + origin.position + 1};
}

}  // namespace

TEST_CASE("attention patterns: of every new token over all keys, in prefill, decode and batches") {
  Listening tiny;
  const std::vector<Call> calls = ragged_calls(3);
  const Trace trace = tiny.trace(calls);
  AttentionPatterns patterns(*tiny.engine, {.layers = {3, 1}});
  tiny.run_all(calls, &patterns);
  REQUIRE(patterns.tokens() == 8 + 3 * 2);
  std::int64_t floats = 0;
  for (std::int64_t token = 0; token < patterns.tokens(); ++token) {
    const ActivationOrigin& origin = patterns.origin(token);
    REQUIRE(patterns.keys(token) == origin.position + 1);
    for (const int layer : {1, 3}) {
      const TensorView weights = patterns.weights(token, layer);
      CHECK(weights.shape == Shape{6, origin.position + 1});
      floats += weights.elements();
      for (std::int64_t head = 0; head < 6; ++head) {
        const float* row = weights.as<float>() + head * weights.shape[1];
        const std::vector<float> expected = expected_weights(trace, origin, layer, head);
        INFO("token " << token << ", layer " << layer << ", head " << head);
        CHECK(same_bits({row, expected.size()}, expected));
        CHECK(std::accumulate(expected.begin(), expected.end(), 0.0) == Approx(1).epsilon(1e-6));
      }
    }
  }
  CHECK(patterns.bytes() == floats * 4);
  CHECK(patterns.origin(0) == ActivationOrigin{1, 0, calls[0][0].tokens[0], 0});
  CHECK(patterns.origin(10).step == 2);
  patterns.clear();
  CHECK(patterns.tokens() == 0);
}

TEST_CASE("attention patterns: only the keys that a head attends to most") {
  Listening tiny;
  const std::vector<Call> calls = ragged_calls(2);
  const Trace trace = tiny.trace(calls);
  AttentionPatterns patterns(*tiny.engine, {.layers = {2}, .top_keys = 3});
  tiny.run_all(calls, &patterns);
  for (std::int64_t token = 0; token < patterns.tokens(); ++token) {
    for (std::int64_t head = 0; head < 6; ++head) {
      std::vector<float> weights = expected_weights(trace, patterns.origin(token), 2, head);
      const auto top = patterns.top(token, 2, head);
      REQUIRE(top.size() == std::min<std::size_t>(3, weights.size()));
      for (const AttendedKey& each : top) {
        CHECK(weights.at(static_cast<std::size_t>(each.key)) == each.weight);
        CHECK(each.weight == *std::max_element(weights.begin(), weights.end()));
        weights[static_cast<std::size_t>(each.key)] = -1;
      }
    }
  }
  CHECK(error_of([&] { patterns.weights(0, 2); }).find("only the top keys") != std::string::npos);
}

TEST_CASE("attention patterns: calls beyond the longest context are left out, and cost the engine nothing") {
  Listening tiny;
  AttentionPatterns patterns(*tiny.engine, {.layers = {0}, .longest_context = 6});
  const std::vector<Call> calls = ragged_calls(3);  // from 5 and 3 tokens on
  const std::vector<float> logits = tiny.run_all(calls, &patterns);
  CHECK(patterns.tokens() == 8 + 2 + 1 + 1);
  CHECK(patterns.left_out() == 2);
  CHECK(same_bits(logits, tiny.run_all(calls)));
  const std::vector<std::int64_t> at{6};
  const std::vector<TokenId> token{1};
  const SequenceStep far{0, token, at, LogitsWanted::last};
  patterns.begin({&far, 1});
  CHECK(patterns.access({{Probe::probs, 0}, 0}) == ProbeSink::Access::none);
}

TEST_CASE("attention patterns: nothing of a forward() that throws, and one clear error for what cannot be") {
  Listening tiny;
  AttentionPatterns patterns(*tiny.engine, {.layers = {0}});
  ThrowingSink throws({Probe::norm, -1});
  SinkList both;
  both.add(throws);
  both.add(patterns);
  CHECK_THROWS_AS(tiny.run(ragged_calls(0)[0], &both), std::runtime_error);
  CHECK(patterns.tokens() == 0);
  tiny.run(ragged_calls(0)[0], &patterns);
  CHECK(patterns.tokens() == 8);
  CHECK(patterns.origin(7).step == 0);

  const auto refusal = [&](AttentionOptions options) {
    return error_of([&] { AttentionPatterns(*tiny.engine, std::move(options)); });
  };
  CHECK(refusal({}).find("no layers") != std::string::npos);
  CHECK(refusal({.layers = {1, 1}}).find("layer 1 is named twice") != std::string::npos);
  CHECK(refusal({.layers = {5}}).find("the model has 5 layers") != std::string::npos);
  CHECK(refusal({.layers = {0}, .top_keys = -1}).find("negative") != std::string::npos);
  CHECK(refusal({.layers = {0}, .longest_context = -1}).find("negative") != std::string::npos);
  CHECK(error_of([&] { patterns.weights(8, 0); }).find("no token 8: 8 are kept") != std::string::npos);
  CHECK(error_of([&] { patterns.weights(0, 1); }).find("layer 1 is not kept") != std::string::npos);
  CHECK(error_of([&] { patterns.top(0, 0, 0); }).find("weights() has them") != std::string::npos);
}
