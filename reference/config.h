// The reference's reading of config.json and generation_config.json. Defaults of absent fields are those of
// transformers' Qwen2Config and of generate().
#pragma once

#include <filesystem>
#include <string_view>

#include "harness/model.h"

namespace plumbline::reference {

// Reads directory/config.json. Throws Error when it is absent or refused (see parse_config).
ModelConfig load_config(const std::filesystem::path& directory);

// Both dialects: rope_theta, rope_scaling, torch_dtype (4.x); rope_parameters, dtype, layer_types (5.x).
// Throws Error, naming `where` and the field, for a wrong type, an impossible value, another model type or
// architecture, an activation other than silu, a rope type other than default and yarn, quantized weights.
ModelConfig parse_config(std::string_view json, std::string_view where);

// Sizes that follow from a config; parameter_count counts a tied head once.
DerivedArchitecture derive(const ModelConfig& config);

// Reads directory/generation_config.json; where there is no such file, generate()'s own defaults (temperature
// 1, top_k 50, top_p 1, no sampling) with the config's token ids. Throws Error for a wrong type or value.
GenerationDefaults load_generation_config(const std::filesystem::path& directory, const ModelConfig& config);

}  // namespace plumbline::reference
