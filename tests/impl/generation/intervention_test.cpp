#include "impl/generation/intervention.h"

#include <cmath>

#include <catch2/catch.hpp>

#include "impl/activation_buffer.h"
#include "tests/impl/generation/listening_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

using enum InterventionKind;

constexpr std::size_t kVocab = 1024;
const OpSite kEmbedding{Probe::embed_tokens, -1}, kStream{Probe::mlp_residual, 1}, kQuery{Probe::q_rope, 3};

std::vector<float> values_of(const Tensor& tensor) {
  return {tensor.values<float>().begin(), tensor.values<float>().end()};
}

// Rows of tokens, as embed_tokens shows them.
std::vector<float> embeddings(Listening& tiny, const std::vector<TokenId>& tokens) {
  return values_of(step_of(tiny.trace(whole(0, tokens)), 0, 0).tensors.at(kEmbedding));
}

// Logits of all tokens, [tokens, vocab], fed after a prefill of so many one by one.
std::vector<float> logits_of(Listening& tiny, const std::vector<TokenId>& tokens, std::size_t prefill,
                             const std::vector<Intervention>& list, SequenceId sequence = 0) {
  Interventions interventions(*tiny.engine, list);
  return tiny.run_all(one_by_one(sequence, tokens, prefill), &interventions);
}

std::span<const float> row(const std::vector<float>& logits, std::size_t token) {
  return std::span(logits).subspan(token * kVocab, kVocab);
}

// What is left at the site when the interventions have been there.
Tensor left_at(Listening& tiny, OpSite site, const std::vector<TokenId>& tokens,
               const std::vector<Intervention>& list) {
  Interventions interventions(*tiny.engine, list);
  ActivationBuffer buffer(*tiny.engine, std::vector<OpSite>{site}, 32);
  SinkList both;
  both.add(interventions);
  both.add(buffer);
  tiny.run_all(one_by_one(0, tokens, 3), &both);
  return copy_host(buffer.view(site));
}

}  // namespace

TEST_CASE("intervention: what was there replaced by itself, 0 added, a factor of 1 change no bit") {
  Listening tiny;
  const std::vector<TokenId> tokens = some_tokens(8, kVocab, 1);
  const std::vector<float> plain = tiny.run_all(whole(0, tokens));
  const Trace trace = tiny.trace(whole(0, tokens));
  for (const auto& [site, seen] : step_of(trace, 0, 0).tensors) {
    const bool rows = is_floating(seen.dtype()) && seen.shape()[0] == 8 && site.probe != Probe::past_key &&
                      site.probe != Probe::past_value;
    if (!rows) continue;
    INFO(site_name(site));
    const Intervention same{site, replace, values_of(seen), PositionSet::range(0, 8)};
    CHECK(same_bits(logits_of(tiny, tokens, 8, {same}), plain));
    CHECK(same_bits(logits_of(tiny, tokens, 3, {same}), plain));
    CHECK(same_bits(logits_of(tiny, tokens, 3, {{site, add, {0.0f}}, {site, scale, {1.0f}}}), plain));
  }
}

TEST_CASE("intervention: 0 added leaves the sign of a zero") {
  Listening tiny;
  Interventions adds(*tiny.engine, {{kEmbedding, add, {0.0f}}});
  const std::vector<TokenId> token{1};
  const std::vector<std::int64_t> at{0};
  const SequenceStep step{0, token, at, LogitsWanted::last};
  adds.begin({&step, 1});
  std::vector<float> values(120, -0.0f);
  adds.modify({kEmbedding, 0}, MutableTensorView(values.data(), DType::f32, {1, 120}));
  CHECK(std::signbit(values[0]));
}

// With the embeddings of other tokens the model must answer as to those tokens: in the prefill and in every
// token after it.
TEST_CASE("intervention: replaced embeddings are other tokens, in prefill and in every later token") {
  Listening tiny;
  const std::vector<TokenId> tokens = some_tokens(9, kVocab, 1), others = some_tokens(9, kVocab, 2);
  const std::vector<float> expected = tiny.run_all(whole(0, others));
  const Intervention all{kEmbedding, replace, embeddings(tiny, others), PositionSet::range(0, 9)};
  for (const std::size_t prefill : {9u, 4u, 1u})
    CHECK(same_bits(logits_of(tiny, tokens, prefill, {all}), expected));

  // Some alone, in an order of their own.
  std::vector<TokenId> mixed = tokens;
  for (const std::size_t at : {7u, 2u, 5u}) mixed[at] = others[at];
  const Intervention some{kEmbedding, replace, embeddings(tiny, {others[7], others[2], others[5]}),
                          PositionSet::list({7, 2, 5})};
  CHECK(same_bits(logits_of(tiny, tokens, 4, {some}), tiny.run_all(whole(0, mixed))));

  // One row for all from a position on, and of one sequence of two.
  std::vector<TokenId> tail = tokens;
  std::fill(tail.begin() + 6, tail.end(), others[0]);
  const Intervention from_6{kEmbedding, replace, embeddings(tiny, {others[0]}), PositionSet::range(6), 1};
  CHECK(same_bits(logits_of(tiny, tokens, 3, {from_6}, 1), tiny.run_all(whole(1, tail))));
  CHECK(same_bits(logits_of(tiny, tokens, 3, {from_6}, 0), tiny.run_all(whole(0, tokens))));
}

TEST_CASE(
    "intervention: nothing changes before its position, something from there on, at every later token") {
  Listening tiny;
  const std::vector<TokenId> tokens = some_tokens(8, kVocab, 3);
  const std::vector<float> plain = tiny.run_all(whole(0, tokens));
  const std::vector<float> shift = random_floats(120, 5);
  for (const std::int64_t at : {0, 2, 5}) {
    const std::vector<float> once =
        logits_of(tiny, tokens, 3, {{kStream, add, shift, PositionSet::list({at})}});
    const std::vector<float> on = logits_of(tiny, tokens, 3, {{kStream, add, shift, PositionSet::range(at)}});
    for (std::size_t token = 0; token < tokens.size(); ++token) {
      INFO("at " << at << ", token " << token);
      const bool before = static_cast<std::int64_t>(token) < at;
      CHECK(same_bits(row(once, token), row(plain, token)) == before);
      CHECK(same_bits(row(on, token), row(plain, token)) == before);
      // Acting on its first token alone would make the two the same.
      CHECK(same_bits(row(on, token), row(once, token)) == (static_cast<std::int64_t>(token) <= at));
    }
  }
}

TEST_CASE("intervention: cached and recomputed are the same bits, at every kind of probe") {
  Listening tiny;
  const std::vector<TokenId> tokens = some_tokens(9, kVocab, 4);
  const std::vector<float> plain = tiny.run_all(whole(0, tokens));
  for (const OpSite site :
       {kEmbedding, OpSite{Probe::cos, -1}, OpSite{Probe::input_layernorm, 2}, OpSite{Probe::v_proj, 0},
        kQuery, OpSite{Probe::k_rope, 1}, OpSite{Probe::context, 2}, OpSite{Probe::act, 4}, kStream,
        OpSite{Probe::norm, -1}, OpSite{Probe::lm_head, -1}}) {
    INFO(site_name(site));
    const std::vector<Intervention> list{{site, scale, {0.5f}, PositionSet::range(2, 7)},
                                         {site, add, {0.25f}, PositionSet::list({0, 5, 8})}};
    const std::vector<float> recomputed = logits_of(tiny, tokens, 9, list);
    for (const std::size_t prefill : {1u, 4u, 6u})
      CHECK(same_bits(logits_of(tiny, tokens, prefill, list), recomputed));
    CHECK_FALSE(same_bits(row(recomputed, 8), row(plain, 8)));
  }
}

TEST_CASE("intervention: kinds act in the order given, on chosen heads alone") {
  Listening tiny;
  const std::vector<TokenId> tokens = some_tokens(5, kVocab, 6);
  const std::vector<float> before = values_of(left_at(tiny, kQuery, tokens, {}));
  std::vector<float> two_heads(2 * 20);
  for (std::size_t i = 0; i < two_heads.size(); ++i) two_heads[i] = static_cast<float>(i);
  const std::vector<Intervention> list{
      {kQuery, replace, two_heads, PositionSet::range(1, 4), {}, {4, 1}},
      {kQuery, add, {100.0f}, PositionSet::list({2}), {}, {1}},
      {kQuery, scale, {-2.0f}, PositionSet::list({2, 4}), {}, {1}},
  };
  const std::vector<float> after = values_of(left_at(tiny, kQuery, tokens, list));
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::size_t token = i / 120, head = i % 120 / 20, feature = i % 20;
    float expected = before[i];
    const bool replaced = token >= 1 && token < 4;
    if (head == 4 && replaced) expected = static_cast<float>(feature);
    if (head == 1) {
      if (replaced) expected = static_cast<float>(20 + feature);
      if (token == 2) expected += 100;
      if (token == 2 || token == 4) expected *= -2;
    }
    REQUIRE(after[i] == expected);
  }
  // Heads of other probes than the rotated ones.
  const OpSite context{Probe::context, 0};
  const std::vector<float> off =
      values_of(left_at(tiny, context, tokens, {{context, scale, {0.0f}, {}, {}, {5}}}));
  const std::vector<float> on = values_of(left_at(tiny, context, tokens, {}));
  for (std::size_t i = 0; i < on.size(); ++i) REQUIRE(off[i] == (i % 120 / 20 == 5 ? 0.0f : on[i]));
}

TEST_CASE("intervention: of a batch only the sequence asked for, and logits that are wanted") {
  Listening tiny;
  const std::vector<Call> calls = ragged_calls(3);
  Interventions on_0(*tiny.engine, {{kStream, add, {1.0f}, {}, 0}});
  const std::vector<float> plain = tiny.run_all(calls), changed = tiny.run_all(calls, &on_0);
  REQUIRE(plain.size() == changed.size());
  // Rows: three of 0, then 0 1, 1 0, 0 1.
  const std::vector<SequenceId> of{0, 0, 0, 0, 1, 1, 0, 0, 1};
  REQUIRE(plain.size() == of.size() * kVocab);
  for (std::size_t i = 0; i < of.size(); ++i)
    CHECK(same_bits(row(plain, i), row(changed, i)) == (of[i] == 1));

  // Each of two sequences its own, at the same place.
  const Intervention to_0{kStream, add, {1.0f}, {}, 0}, to_1{kStream, add, {-2.0f}, {}, 1};
  Interventions both(*tiny.engine, {to_0, to_1}), on_1(*tiny.engine, {to_1});
  const std::vector<float> apart = tiny.run_all(calls, &both), second = tiny.run_all(calls, &on_1);
  for (std::size_t i = 0; i < of.size(); ++i)
    CHECK(same_bits(row(apart, i), row(of[i] == 0 ? changed : second, i)));
  CHECK(on_0.access({kStream, 0}) == ProbeSink::Access::write);
  CHECK(on_0.access({kStream, 1}) == ProbeSink::Access::none);

  // Of eight tokens the last one's logits alone: those of position 7.
  const Call last{{0, some_tokens(8, kVocab, 1), LogitsWanted::last}};
  const OpSite logits{Probe::lm_head, -1};
  Interventions at_7(*tiny.engine, {{logits, replace, {3.0f}, PositionSet::list({7})}});
  Interventions at_0(*tiny.engine, {{logits, replace, {3.0f}, PositionSet::list({0})}});
  CHECK(tiny.run_all({last}, &at_7) == std::vector<float>(kVocab, 3.0f));
  CHECK(same_bits(tiny.run_all({last}, &at_0), tiny.run_all({last})));
}
