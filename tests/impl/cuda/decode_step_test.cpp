// A decode step as one kernel has the bits of the separate kernels: logits, and what it leaves in the cache.
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

TEST_CASE("decode step: one kernel has the bits of the separate ones") {
  for (const RandomModel& model : decode_models()) {
    const ScratchDirectory directory;
    write_random_model(directory, model.config, 3);
    for (const DType storage : {DType::f32, DType::bf16}) {
      DecodeRig rig(directory.path(), storage);
      for (const DType cache : {DType::f32, DType::bf16}) {
        INFO(model.what << ", " << dtype_name(storage) << ", cache " << dtype_name(cache));
        same_both_ways(rig, growing(cache), 21, 3);
        same_both_ways(rig, fixed(30, cache), 0, 3);
      }
    }
  }
}

TEST_CASE("decode step: the same bits on any grid, in any order, lazily and at once") {
  for (const RandomModel& model : decode_models()) {
    const ScratchDirectory directory;
    write_random_model(directory, model.config, 5);
    for (const int blocks : {1, 2, 7}) {
      DecodeRig rig(directory.path(), DType::bf16);
      const emulation::WithSettings restored;
      emulation::settings().multiprocessors = blocks;
      under_all_schedules([&](const std::string& schedule) {
        INFO(model.what << ", " << blocks << " blocks, " << schedule);
        same_both_ways(rig, fixed(20, DType::bf16), 5, 1);
      });
    }
  }
}

TEST_CASE("decode step: a layer of the size of 0.5B") {
  const ScratchDirectory directory;
  write_random_model(directory, R"({"model_type": "qwen2", "vocab_size": 64, "hidden_size": 896,
    "intermediate_size": 4864, "num_hidden_layers": 1, "num_attention_heads": 14, "num_key_value_heads": 2,
    "head_dim": 64, "tie_word_embeddings": true})",
                     1);
  DecodeRig rig(directory.path(), DType::bf16);
  same_both_ways(rig, growing(DType::bf16), 70, 2);
}
