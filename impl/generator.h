// The generation loop over any engine: prefill, then one token at a time with the cache.
#pragma once

#include <functional>
#include <span>

#include "harness/engine.h"
#include "harness/generation.h"
#include "harness/sampling.h"

namespace plumbline::native {

// Stops after an eos (kept in the output; one inside the prompt stops nothing), after max_new_tokens, or when
// prompt and output together reach the config's max_position_embeddings. `on_token` sees each token as it is
// chosen; where it returns false the loop ends early (StopReason::callback). The last token is
// not fed back: the cache holds prompt + generated - 1 tokens. Draw i takes options.uniforms[i], or else
// the sampler's own stream, whose step is the position that the new token takes: going on with a longer
// prompt repeats no draw. Throws Error for an empty prompt, one longer than the context, token ids outside
// the vocabulary, a negative max_new_tokens, or too few uniforms.
GenerationResult generate(Engine& engine, Sampler& sampler, std::span<const TokenId> prompt,
                          const GenerationOptions& options, ProbeSink& sink,
                          std::function<bool(TokenId)> on_token = {});

}  // namespace plumbline::native
