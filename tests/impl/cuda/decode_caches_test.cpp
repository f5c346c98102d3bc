// A decode step as one kernel over caches of every form and length, with the bits of the separate kernels.
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

TEST_CASE("decode step: caches of every layout and packing, and a ring") {
  const ScratchDirectory directory;
  write_random_model(directory, decode_models()[0].config, 7);
  DecodeRig rig(directory.path(), DType::f32);
  for (const CacheLayout layout : {CacheLayout::sequence_heads, CacheLayout::heads_sequence}) {
    for (const CachePacking packing : {CachePacking::separate, CachePacking::interleaved}) {
      for (const std::int64_t prefill : {0, 11}) {
        CacheSpec spec = fixed(16, DType::bf16);
        spec.layout = layout;
        spec.packing = packing;
        spec.prefill_capacity = prefill;
        INFO("layout " << static_cast<int>(layout) << ", packing " << static_cast<int>(packing)
                       << ", prefill " << prefill);
        same_both_ways(rig, spec, 11, 5);
      }
    }
  }
}

TEST_CASE("decode step: a ring that turns, rows that were cropped, sequences beside each other") {
  const ScratchDirectory directory;
  write_random_model(directory, decode_models()[1].config, 7);
  DecodeRig rig(directory.path(), DType::bf16);
  const auto vocab = rig.config().vocab_size;
  CacheSpec spec = fixed(9, DType::f32);
  spec.when_full = WhenFull::ring;
  same_both_ways(rig, spec, 5, 14);
  spec.prefill_capacity = 4;
  same_both_ways(rig, spec, 4, 14);

  spec = fixed(20, DType::bf16);
  spec.max_sequences = 2;
  const auto apart = rig.make_cache(spec), one = rig.make_cache(spec);
  const auto step = rig.make_step();
  for (const SequenceId id : {0, 1}) {
    const auto tokens = some_tokens(static_cast<std::size_t>(7 + id), vocab, 1 + static_cast<unsigned>(id));
    rig.separate(*apart, tokens, id);
    rig.separate(*one, tokens, id);
  }
  apart->crop(1, 3);
  one->crop(1, 3);
  for (unsigned i = 0; i < 4; ++i) {
    const auto id = static_cast<SequenceId>(i % 2);
    const auto token = some_tokens(1, vocab, 3 + i);
    CHECK(same_bits(rig.together(step, *one, token.front(), id), rig.separate(*apart, token, id)));
  }
  for (const SequenceId id : {0, 1}) CHECK(same_bits(cached(*one, id), cached(*apart, id)));
}

TEST_CASE("decode step: without logits the cache is filled all the same") {
  const ScratchDirectory directory;
  write_random_model(directory, decode_models()[0].config, 7);
  DecodeRig rig(directory.path(), DType::bf16);
  const auto apart = rig.make_cache(growing(DType::f32)), one = rig.make_cache(growing(DType::f32));
  const auto step = rig.make_step();
  for (unsigned i = 0; i < 5; ++i) {
    const auto token = some_tokens(1, 97, i);
    rig.separate(*apart, token);
    CHECK(rig.together(step, *one, token.front(), 0, false).empty());
  }
  CHECK(same_bits(cached(*one), cached(*apart)));
}

TEST_CASE("decode step: more keys than a tile, and than warps have blocks of keys") {
  constexpr const char* kNarrow = R"({"model_type": "qwen2", "vocab_size": 20, "hidden_size": 16,
    "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 40, "use_sliding_window": true, "sliding_window": 300, "max_window_layers": 1})";
  const ScratchDirectory directory;
  write_random_model(directory, kNarrow, 7);
  for (const DType storage : {DType::f32, DType::bf16}) {
    DecodeRig rig(directory.path(), storage);
    for (const std::size_t past : {63, 64, 255, 300, 511, 1100}) {
      INFO(dtype_name(storage) << ", " << past << " keys");
      same_both_ways(rig, growing(storage), past, 2);
    }
  }
}
