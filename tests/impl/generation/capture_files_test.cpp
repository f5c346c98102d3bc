// Captures and the disk: what is written when, and what is refused.
#include <sys/resource.h>

#include <catch2/catch.hpp>

#include "impl/generation/capture.h"
#include "tests/impl/generation/capture_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

namespace fs = std::filesystem;

const OpSite kStream{Probe::mlp_residual, 2}, kProbs{Probe::probs, 1};

}  // namespace

TEST_CASE("capture: a shard that cannot be written is an error; nothing is lost, and no half file is left") {
  Listening tiny;
  const ScratchDirectory scratch;
  const std::vector<Call> calls = ragged_calls(3);
  CaptureWriter capture(*tiny.engine, {.directory = scratch.path(), .probes = {kStream}, .shard_tokens = 8});
  tiny.run(calls[0], &capture);
  file_size_limit_is_an_error();
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{1024, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string in_call = error_of([&] { tiny.run(calls[1], &capture); });
  const std::string at_end = error_of([&] { capture.finish(); });
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  for (const std::string& message : {in_call, at_end}) {
    CHECK(message.find("capture-00000.safetensors: cannot be written") != std::string::npos);
    CHECK(message.find("is the disk full?") != std::string::npos);
  }
  CHECK(files_in(scratch.path()) == 0);
  CHECK(capture.rows() == 8);
  for (std::size_t i = 1; i < calls.size(); ++i) tiny.run(calls[i], &capture);
  capture.finish();
  REQUIRE(capture.shards() == 2);
  std::vector<ActivationOrigin> origins = origins_of(read_tensor_file(shard(scratch.path(), 0)));
  const std::vector<ActivationOrigin> rest = origins_of(read_tensor_file(shard(scratch.path(), 1)));
  origins.insert(origins.end(), rest.begin(), rest.end());
  CHECK(origins == expected_origins(calls));
}

TEST_CASE("capture: the destructor writes what is left, and never throws") {
  Listening tiny;
  const ScratchDirectory scratch;
  const Call call = ragged_calls(0)[0];
  const fs::path made = scratch.path() / "a" / "b";
  {
    CaptureWriter capture(*tiny.engine, {.directory = made, .probes = {kStream}});
    tiny.run(call, &capture);
  }
  CHECK(origins_of(read_tensor_file(shard(made, 0))).size() == 8);
  tiny.cache = tiny.fresh();
  {
    CaptureWriter capture(*tiny.engine, {.directory = scratch.path() / "gone", .probes = {kStream}});
    tiny.run(call, &capture);
    fs::remove_all(scratch.path() / "gone");
  }
  CHECK_FALSE(fs::exists(scratch.path() / "gone"));
  { CaptureWriter nothing(*tiny.engine, {.directory = scratch.path() / "empty", .probes = {kStream}}); }
  CHECK_FALSE(fs::exists(scratch.path() / "empty"));
}

TEST_CASE("capture: what cannot be done is refused before anything is computed") {
  Listening tiny;
  const ScratchDirectory scratch;
  const auto refusal = [&](CaptureOptions options) {
    if (options.directory.empty()) options.directory = scratch.path() / "new";
    return error_of([&] { CaptureWriter(*tiny.engine, std::move(options)); });
  };
  CHECK(refusal({.directory = {}}).find("no probes") != std::string::npos);
  CHECK(refusal({.directory = {}, .patterns = {"model.layers.7.*"}})
            .find("no probe matches 'model.layers.7.*'") != std::string::npos);
  CHECK(refusal({.directory = {}, .probes = {{Probe::act, 5}}}).find("the model has 5 layers") !=
        std::string::npos);
  CHECK(refusal({.directory = {}, .probes = {{Probe::sample_probs, -1}}})
            .find("no probe of the forward pass") != std::string::npos);
  CHECK(refusal({.directory = {}, .probes = {{Probe::attention_mask_full, -1}}}).find("another mask probe") !=
        std::string::npos);
  CHECK(refusal({.directory = {}, .probes = {kStream}, .shard_tokens = 0}).find("0 tokens for a shard") !=
        std::string::npos);
  CHECK(refusal({.directory = {}, .probes = {kStream}, .shard_tokens = std::int64_t{1} << 60})
            .find("no memory for") != std::string::npos);
  CHECK(refusal({.directory = {}, .probes = {kProbs}, .call_bytes = 0}).find("at least 1") !=
        std::string::npos);
  CHECK_FALSE(fs::exists(scratch.path() / "new"));

  const fs::path file = scratch.write("file", "x");
  CHECK(refusal({.directory = file, .probes = {kStream}}).find("is there a file of that name?") !=
        std::string::npos);
  CHECK(refusal({.directory = file / "in", .probes = {kStream}}).find("cannot be made") != std::string::npos);
  scratch.write("capture-00003.safetensors", "x");
  CHECK(refusal({.directory = scratch.path(), .probes = {kStream}}).find("holds capture-00003.safetensors") !=
        std::string::npos);

  CaptureWriter capture(*tiny.engine,
                        {.directory = scratch.path() / "new", .probes = {kStream}, .shard_tokens = 7});
  CHECK(error_of([&] {
          tiny.run(ragged_calls(0)[0], &capture);
        }).find("8 tokens at once, and a shard has 7") != std::string::npos);
  CHECK(tiny.cache->length(0) == 0);
}
