// What a generation loop takes and gives back, for both sides' generators.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/engine.h"
#include "harness/sampling.h"

namespace plumbline {

struct GenerationOptions {
  SamplingParams sampling;
  std::optional<std::int64_t> max_new_tokens = 64;  // where given, max_length is not looked at
  std::optional<std::int64_t> max_length{};         // prompt and new tokens together
  std::vector<std::int64_t> eos_token_ids;          // any of them stops; it is kept in the output
  CacheKind cache = CacheKind::concat;
  // When not empty, draw i uses uniforms[i] in place of the sampler's own stream (parity of draws).
  std::vector<double> uniforms;
};

enum class StopReason : std::uint8_t {
  eos,
  max_new_tokens,
  max_length,
  context_full,
  stop_string,
  callback,
  interrupted,
  no_prompt,  // there was nothing to continue, and the model has no token to begin with
};
std::string_view stop_reason_name(StopReason reason);

struct GenerationResult {
  std::vector<TokenId> tokens;  // generated, without the prompt; an eos is kept
  StopReason stop = StopReason::max_new_tokens;
  std::int64_t cache_length = 0;  // the last token is not in the cache: prompt + generated - 1
};

}  // namespace plumbline
