#include "impl/generation/capture.h"

#include <catch2/catch.hpp>

#include "tests/impl/generation/capture_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

namespace fs = std::filesystem;

const OpSite kStream{Probe::mlp_residual, 2}, kKey{Probe::k_rope, 4}, kProbs{Probe::probs, 1};

// Every row of a shard is the trace's of its origin.
void check_rows(const TensorFile& file, const Trace& trace, OpSite probe) {
  const Tensor rows = tensor_of(file, site_name(probe));
  const std::vector<ActivationOrigin> origins = origins_of(file);
  REQUIRE(rows.shape()[0] == static_cast<std::int64_t>(origins.size()));
  for (std::size_t i = 0; i < origins.size(); ++i) {
    const TraceStep& step = step_of(trace, origins[i].sequence, origins[i].step);
    const std::int64_t row = origins[i].position - step.given->positions.front();
    INFO(site_name(probe) << ", row " << i);
    CHECK(same_row(rows.view(), static_cast<std::int64_t>(i), step.tensors.at(probe).view(), row));
  }
}

}  // namespace

TEST_CASE("capture: prefill and every decode step, in shards, each row with where it came from") {
  Listening tiny;
  const ScratchDirectory scratch;
  const std::vector<Call> calls = ragged_calls(5);
  const Trace trace = tiny.trace(calls);
  CaptureWriter capture(*tiny.engine, {.directory = scratch.path() / "made",
                                       .probes = {kStream, kKey},
                                       .patterns = {"model.layers.[13].attn_residual"},
                                       .shard_tokens = 9});
  tiny.run_all(calls, &capture);
  CHECK(capture.shards() == 2);  // of 8 tokens each: there was no room for two more
  CHECK(capture.rows() == 2);
  capture.finish();
  capture.finish();  // nothing is left
  REQUIRE(capture.shards() == 3);
  REQUIRE(files_in(scratch.path() / "made") == 3);

  std::vector<ActivationOrigin> origins;
  for (int number = 0; number < 3; ++number) {
    const TensorFile file = read_tensor_file(shard(scratch.path() / "made", number));
    CHECK(file.metadata.at("format") == "plumbline-capture");
    CHECK(file.metadata.at("format_version") == "1");
    CHECK(file.metadata.at("shard") == std::to_string(number));
    CHECK(file.metadata.at("weight_hash") == tiny.engine->weight_hash());
    CHECK(file.metadata.at("engine") == "native-cpu");
    CHECK(file.metadata.at("hidden_size") == "120");
    const std::vector<ActivationOrigin> some = origins_of(file);
    origins.insert(origins.end(), some.begin(), some.end());
    CHECK(file.tensors.size() == 4 + 4);
    for (const OpSite probe :
         {kStream, kKey, OpSite{Probe::attn_residual, 1}, OpSite{Probe::attn_residual, 3}})
      check_rows(file, trace, probe);
  }
  CHECK(origins == expected_origins(calls));
}

TEST_CASE("capture: probes without a row for every token, as tensors of their steps") {
  Listening tiny;
  const ScratchDirectory scratch;
  const std::vector<Call> calls = ragged_calls(2);
  const Trace trace = tiny.trace(calls);
  const std::vector<OpSite> probes{kProbs,
                                   {Probe::scores, 0},
                                   {Probe::past_key, 1},
                                   {Probe::input_ids, -1},
                                   {Probe::attention_mask, -1},
                                   {Probe::lm_head, -1}};
  CaptureWriter capture(*tiny.engine, {.directory = scratch.path(), .probes = probes});
  tiny.run_all(calls, &capture);
  capture.finish();
  const TensorFile file = read_tensor_file(shard(scratch.path(), 0));
  CHECK(origins_of(file) == expected_origins(calls));
  std::size_t held = 0;
  for (const TraceStep& step : trace.steps) {
    for (const OpSite probe : probes) {
      if (!step.tensors.contains(probe)) continue;  // no logits were wanted
      const std::string name = "seq." + std::to_string(step.sequence) + "/step." + std::to_string(step.step) +
                               "/" + site_name(probe);
      INFO(name);
      const Tensor actual = tensor_of(file, name), &expected = step.tensors.at(probe);
      CHECK(actual.shape() == expected.shape());
      CHECK(actual.dtype() == expected.dtype());
      CHECK(std::equal(actual.bytes().begin(), actual.bytes().end(), expected.bytes().begin(),
                       expected.bytes().end()));
      ++held;
    }
  }
  CHECK(held == 6 * 6 - 1);
  CHECK(file.tensors.size() == held + 4);
}

TEST_CASE("capture: a forward() that throws leaves no rows, wherever it throws, and steps have no gaps") {
  Listening tiny;
  const ScratchDirectory scratch;
  const std::vector<Call> calls = ragged_calls(2);
  CaptureWriter capture(*tiny.engine, {.directory = scratch.path(), .probes = {kStream, kProbs}});
  tiny.run(calls[0], &capture);
  for (const OpSite late : {OpSite{Probe::q_proj, 0}, OpSite{Probe::act, 4}, OpSite{Probe::lm_head, -1}}) {
    ThrowingSink throws(late);
    SinkList both;
    both.add(throws);
    both.add(capture);
    CHECK_THROWS_AS(tiny.run(calls[1], &both), std::runtime_error);
    CHECK(capture.rows() == 8);
  }
  CHECK_THROWS_AS(tiny.run({calls[1][0], calls[1][0]}, &capture), Error);
  tiny.run(calls[1], &capture);
  tiny.run(calls[2], &capture);
  capture.finish();
  const TensorFile file = read_tensor_file(shard(scratch.path(), 0));
  CHECK(origins_of(file) == expected_origins(calls));
  CHECK(file.tensors.size() == 4 + 1 + 3 * 2);
  CHECK(fs::file_size(shard(scratch.path(), 0)) == expected_size(shard(scratch.path(), 0), file));
  check_rows(file, tiny.trace(calls), kStream);
}

TEST_CASE("capture: tensors of one call beyond their memory are an error, and nothing of it is kept") {
  Listening tiny;
  const ScratchDirectory scratch;
  // 6 heads, 10 tokens, 10 keys.
  CaptureWriter capture(*tiny.engine, {.directory = scratch.path(), .probes = {kProbs}, .call_bytes = 2399});
  const Call ten{{0, some_tokens(10, 1024, 1)}}, nine{{0, some_tokens(9, 1024, 1)}};
  CHECK(error_of([&] { tiny.run(ten, &capture); }).find("2400 bytes goes beyond the 2399") !=
        std::string::npos);
  CHECK(tiny.cache->length(0) == 0);
  CHECK(capture.rows() == 0);
  // Twice as much is there, so that what is held is written before a call that might not fit.
  tiny.run(nine, &capture);
  for (SequenceId sequence = 1; sequence < 3; ++sequence) {
    Call more = nine;
    more[0].sequence = sequence;
    tiny.run(more, &capture);
  }
  CHECK(capture.shards() == 1);
  CHECK(capture.rows() == 9);
  capture.finish();
  CHECK(read_tensor_file(shard(scratch.path(), 0)).tensors.size() == 4 + 2);
}
