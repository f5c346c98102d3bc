// What the readers of config.json and generation_config.json share.
#pragma once

#include <cstdint>

#include "harness/model.h"
#include "impl/json.h"

namespace plumbline::native {

inline constexpr std::int64_t kMaxTokenId = INT32_MAX;
// Far beyond any Qwen2, and small enough that no count of parameters overflows 64 bits: four projections of
// heads * head_dim * width in every layer are 2^62.
inline constexpr std::int64_t kMaxWidth = 1 << 20;
inline constexpr std::int64_t kMaxHeads = 1 << 14;
inline constexpr std::int64_t kMaxHeadDim = 1 << 13;
inline constexpr std::int64_t kMaxLayers = 1 << 12;
inline constexpr std::int64_t kMaxLength = std::int64_t{1} << 31;

// The rotary embedding's parameters, from rope_parameters, or rope_scaling and rope_theta, with YaRN's
// defaults resolved. `fields` is the whole of config.json; `config` has its sizes.
RopeParameters read_rope_parameters(const JsonFields& fields, const ModelConfig& config);

}  // namespace plumbline::native
