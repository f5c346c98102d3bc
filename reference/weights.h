// What a checkpoint must hold, and what its files do hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "harness/model.h"

namespace plumbline::reference {

// How much of a checkpoint is in memory at a time.
enum class Hold : std::uint8_t {
  all,        // what was read is kept
  one_layer,  // as much as one layer's weights, those used last; the embedding by rows, lm_head in blocks of
              // them
};

// From the config alone, under Hugging Face's names, sorted by name. dtype is config.dtype, f32 where that is
// empty. A tied lm_head.weight is listed with tied = true.
std::vector<WeightEntry> expected_weights(const ModelConfig& config);

// What the .safetensors files hold (one file, or the shards of an index), sorted by name; none is `tied`.
// Throws Error for a broken or missing file.
std::vector<WeightEntry> stored_weights(const std::filesystem::path& directory);

}  // namespace plumbline::reference
