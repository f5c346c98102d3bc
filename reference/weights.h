// What a checkpoint must hold, and what its files do hold.
#pragma once

#include <filesystem>
#include <vector>

#include "harness/model.h"

namespace plumbline::reference {

// From the config alone, under Hugging Face's names, sorted by name. dtype is config.dtype, f32 where that is
// empty. A tied lm_head.weight is listed with tied = true.
std::vector<WeightEntry> expected_weights(const ModelConfig& config);

// What the .safetensors files hold (one file, or the shards of an index), sorted by name; none is `tied`.
// Throws Error for a broken or missing file.
std::vector<WeightEntry> stored_weights(const std::filesystem::path& directory);

}  // namespace plumbline::reference
