// Whoever listens: the engine's bits are the same.
#include <catch2/catch.hpp>

#include "impl/generation/attention_patterns.h"
#include "impl/generation/capture.h"
#include "impl/generation/intervention.h"
#include "impl/generation/layer_summary.h"
#include "tests/impl/generation/listening_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

TEST_CASE("listeners: with all of them the logits are the same bits as with none") {
  Listening tiny;
  const ScratchDirectory scratch;
  const std::vector<TokenId> text = some_tokens(40, 1024, 9);
  std::vector<Call> calls = ragged_calls(4);
  calls.push_back({{2, text, LogitsWanted::all}, {0, {text[0]}, LogitsWanted::last}});
  for (const TokenId token : {5, 6, 7}) calls.push_back({{2, {token}, LogitsWanted::last}});

  CaptureWriter everything(*tiny.engine,
                           {.directory = scratch.path(), .patterns = {"*"}, .shard_tokens = 48});
  ActivationBuffer buffer(*tiny.engine, std::vector<OpSite>{{Probe::act, 1}, {Probe::norm, -1}}, 128);
  AttentionPatterns patterns(*tiny.engine, {.layers = {0, 4}});
  AttentionPatterns top(*tiny.engine, {.layers = {2}, .top_keys = 2});
  LayerSummary streams(*tiny.engine), keys(*tiny.engine, Probe::k_rope);
  Interventions none(*tiny.engine, {});
  SinkList all;
  for (StepSink* each :
       std::initializer_list<StepSink*>{&everything, &buffer, &patterns, &top, &streams, &keys, &none})
    all.add(*each);

  const std::vector<float> plain = tiny.run_all(calls);
  CHECK(same_bits(tiny.run_all(calls, &all), plain));
  CHECK(same_bits(tiny.run_all(calls, &none), plain));
  everything.finish();
  const std::int64_t tokens = 8 + 4 * 2 + 41 + 3;
  CHECK(everything.shards() == 2);
  CHECK(buffer.rows() == tokens);
  CHECK(patterns.tokens() == tokens);
  CHECK(top.tokens() == tokens);
  CHECK(streams.tokens() == tokens);
  CHECK(keys.tokens() == tokens);
}

TEST_CASE("listeners: those that read see what those that write have left") {
  Listening tiny;
  LayerSummary summary(*tiny.engine, Probe::embed_tokens);
  Interventions replaces(*tiny.engine, {{{Probe::embed_tokens, -1}, InterventionKind::replace, {2.0f}}});
  SinkList both;
  both.add(summary);
  both.add(replaces);
  tiny.run_all(ragged_calls(1), &both);
  CHECK(summary.layers()[0].min == 2);
  CHECK(summary.layers()[0].max == 2);
  CHECK(summary.layers()[0].std == 0);
}
