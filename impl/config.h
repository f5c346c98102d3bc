// config.json and generation_config.json of a Qwen2 checkpoint, in both dialects in use: transformers 4.x
// (rope_theta, rope_scaling, torch_dtype) and 5.x (rope_parameters, dtype, layer_types). Absent fields take
// the defaults of transformers' Qwen2Config and GenerationConfig (5.23).
#pragma once

#include <filesystem>
#include <string_view>

#include "harness/model.h"

namespace plumbline::native {

// Reads directory/config.json. Throws Error as parse_config does, or when the file cannot be read.
ModelConfig load_config(const std::filesystem::path& directory);

// `where` names the text in errors. Throws Error for wrong types, impossible values (counts that are not
// positive or absurdly large, heads not divisible by kv heads, an odd head_dim, eps or theta not positive),
// a model_type or architecture other than Qwen2's, an activation other than silu, and rope types other than
// default and yarn.
ModelConfig parse_config(std::string_view json, std::string_view where);

DerivedArchitecture derive(const ModelConfig& config);

// Reads directory/generation_config.json. Where there is no such file, defaults and the ids of `config`;
// where there is one, it stands alone, as in transformers.
GenerationDefaults load_generation_config(const std::filesystem::path& directory, const ModelConfig& config);

}  // namespace plumbline::native
