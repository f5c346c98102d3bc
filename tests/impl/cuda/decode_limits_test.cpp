// Which calls, models and devices a decode step as one kernel serves.
#include <catch2/catch.hpp>

#include "tests/cuda_emulation/emulation.h"
#include "tests/cuda_emulation/with_settings.h"
#include "tests/impl/cuda/decode_support.h"
#include "tests/impl/cuda/support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::cuda::testing;
using native::testing::same_bits;
using native::testing::ScratchDirectory;
using native::testing::some_tokens;
using native::testing::write_random_model;
namespace emulation = plumbline::cuda_emulation;

TEST_CASE("decode step: what it does not take") {
  const ScratchDirectory directory;
  write_random_model(directory, decode_models()[0].config, 7);
  DecodeRig rig(directory.path(), DType::f32);
  CacheSpec spec = growing(DType::f32);
  spec.max_sequences = 2;
  const auto cache = rig.make_cache(spec);
  const SequenceId both[] = {0, 1}, first[] = {0};
  const auto takes = [&](std::span<const SequenceId> sequences, std::int64_t tokens,
                         LogitsWanted wanted = LogitsWanted::last) {
    return rig.takes(rig.make_step(), *cache, sequences, tokens, wanted);
  };
  CHECK(takes(first, 1));
  CHECK(takes(first, 1, LogitsWanted::none));
  CHECK_FALSE(takes(first, 2));
  CHECK_FALSE(takes(first, 2, LogitsWanted::none));
  CHECK_FALSE(takes(both, 1));

  const emulation::WithSettings restored;
  SECTION("a device without cooperative launches") {
    emulation::settings().cooperative_launch = false;
    CHECK_FALSE(takes(first, 1));
  }
  SECTION("a device with too little shared memory") {
    emulation::settings().shared_optin = 48 * 1024;
    CHECK(takes(first, 1));  // small models have room there
    emulation::settings().shared_optin = 24 * 1024;
    CHECK_FALSE(takes(first, 1));
  }
}

TEST_CASE("decode step: models whose rows are no whole packs are not taken") {
  const ScratchDirectory directory;
  write_random_model(directory, R"({"model_type": "qwen2", "vocab_size": 11, "hidden_size": 24,
    "intermediate_size": 30, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 8})",
                     1);
  DecodeRig rig(directory.path(), DType::bf16);
  const auto cache = rig.make_cache(growing(DType::f32));
  const SequenceId first[] = {0};
  CHECK_FALSE(rig.takes(rig.make_step(), *cache, first, 1));
}

TEST_CASE("decode step: keys beyond the limit are not taken, but behind a window") {
  for (const bool windows : {false, true}) {
    const ScratchDirectory directory;
    write_random_model(directory,
                       std::string(R"({"model_type": "qwen2", "vocab_size": 11, "hidden_size": 8,
      "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
      "head_dim": 8, "max_window_layers": 0, "sliding_window": 100, "use_sliding_window": )") +
                           (windows ? "true}" : "false}"),
                       1);
    DecodeRig rig(directory.path(), DType::f32);
    const auto step = rig.make_step();
    const auto most = static_cast<std::size_t>(cuda::kMostDecodeKeys);
    CacheSpec spec = growing(DType::f32);
    spec.max_sequences = 2;
    const auto cache = rig.make_cache(spec);
    rig.separate(*cache, some_tokens(most - 1, 11, 1));
    cache->fork(0, 1);
    const auto token = some_tokens(1, 11, 2);
    CHECK(same_bits(rig.together(step, *cache, token.front(), 1), rig.separate(*cache, token)));
    const SequenceId first[] = {0};
    CHECK(rig.takes(step, *cache, first, 1) == windows);
  }
}
