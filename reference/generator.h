// The reference's generation loop: no cache, every step computes the whole sequence anew.
#pragma once

#include <span>

#include "harness/generation.h"

namespace plumbline::reference {

// Works with any engine; each step clears sequence 0 of a cache of its own and feeds all tokens, positions
// from 0. Draw i uses options.uniforms[i], else the sampler's own stream. Stops
// at an end token (kept; one in the prompt does not count), else after max_new_tokens, else when prompt and
// generated tokens fill max_position_embeddings. Throws Error for an empty prompt, one longer than
// max_position_embeddings, a negative max_new_tokens, or too few uniforms, besides what engine and sampler
// throw.
GenerationResult generate(Engine& engine, Sampler& sampler, std::span<const TokenId> prompt,
                          const GenerationOptions& options);

}  // namespace plumbline::reference
