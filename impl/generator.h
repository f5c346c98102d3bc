// The generator: a model, its tokenizer, and what it has read so far. Nothing is computed twice: whatever is
// asked next, the longest prefix that it shares with the tokens held is taken from the cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/engine.h"
#include "harness/generation.h"
#include "harness/sampling.h"
#include "harness/tokenizer.h"
#include "impl/generation/context.h"
#include "impl/generation/request.h"
#include "impl/generation/step_sink.h"

namespace plumbline::native {

struct GeneratorSettings {
  // `max_sequences`: how many sequences there can be at once: one for each generator or conversation that was
  // forked, and for each row of a batch beyond. A growing cache pays for those in use; a `fixed` one has the
  // memory of all from the start, and without a capacity gets the model's context for each.
  CacheSpec cache{.max_sequences = 64};
  std::uint64_t seed = 0;            // of the sampler
  std::int64_t prefill_chunk = 512;  // tokens of a sequence in one forward call; changes no bit
};

// How a prompt was taken up.
struct PrefixReport {
  std::int64_t tokens = 0;     // held now
  std::int64_t reused = 0;     // of them, in the cache before
  std::int64_t processed = 0;  // that went through the engine
};

// Not for several threads at once. Engine and tokenizer must outlive it and its forks.
class Generator {
 public:
  // `tokenizer` may be null: prompts are token ids then, and output has no text. Throws what
  // Engine::make_cache throws, and Error for a ring and a chunk below 1.
  Generator(Engine& engine, const Tokenizer* tokenizer, GeneratorSettings settings = {});

  // Reads a system prompt, ahead of any question; until clear(), it is the first message of every text and
  // chat that brings none. Reading the same again costs nothing. Throws Error without a tokenizer or chat
  // template, and for a prompt that leaves no room.
  PrefixReport cache_system_prompt(std::string_view text, StepSink* sink = nullptr);
  // Makes these the tokens held, and reads those that are not in the cache.
  PrefixReport cache_prefix(std::span<const TokenId> tokens, StepSink* sink = nullptr);
  // Puts them behind the tokens held, and reads them: the next level, as tools behind the system prompt.
  PrefixReport extend(std::span<const TokenId> tokens, StepSink* sink = nullptr);
  void crop(std::int64_t length);   // as Context::crop
  void clear();                     // forgets all tokens, and the system prompt
  void reseed(std::uint64_t seed);  // of the sampler
  // An independent copy, over the same engine and cache. Throws Error when there is no sequence left for it.
  Generator fork() const;

  // The tokens held: after generate() those of the prompt and of the output, the last of which is not in the
  // cache.
  const Context& context() const { return context_; }
  Context& context() { return context_; }
  const std::optional<std::string>& system_prompt() const { return system_; }
  Engine& engine() const { return *engine_; }
  const Tokenizer* tokenizer() const { return tokenizer_; }
  const GeneratorSettings& settings() const { return settings_; }

  // One text. An empty prompt goes on from the tokens held; where none are, from the model's BOS or
  // end-of-text token; where the config has neither, it ends at once (StopReason::no_prompt). Where all of a
  // prompt is in the cache, its last token is computed once more. A text under a system prompt is a user's
  // message, and answered. `sink` sees every forward call and draw; output is the same bits with one that
  // only reads. Throws Error for a prompt that is longer than the context, ids outside the vocabulary,
  // options that make no sense; the generator can be used afterwards, and so it can after an exception from a
  // callback.
  GenerationOutput generate(GenerationRequest request, StepSink* sink = nullptr);
  // Several at once, each in a sequence of its own, forked from the tokens held, which stay as they are. Row
  // i of the output is what request i alone would give, bit for bit. Throws as above, and Error for `more`
  // prompts where the cache has too few sequences.
  std::vector<GenerationOutput> generate(std::span<const GenerationRequest> batch, StepSink* sink = nullptr);

 private:
  Generator(const Generator& other, Context context);
  std::vector<TokenId> tokens_of(const Prompt& prompt) const;
  bool start_token(Context& context) const;
  // Makes `context` hold the prompt; returns how many tokens stay whatever happens, or nullopt where there is
  // nothing to continue.
  std::optional<std::int64_t> take_up(const Prompt& prompt, Context& context) const;
  PrefixReport read(std::int64_t reused, StepSink* sink);
  const Tokenizer& require_tokenizer() const;

  Engine* engine_;
  const Tokenizer* tokenizer_;
  GeneratorSettings settings_;
  std::shared_ptr<Sampler> sampler_;  // without a state: draws follow seed, stream and position
  Context context_;
  std::optional<std::string> system_;
};

// One prompt in a cache of its own, with any sampler. `on_token` sees each token as it is chosen; where it
// returns false the loop ends. Throws Error for an empty prompt, and as Generator::generate does.
GenerationResult generate(Engine& engine, Sampler& sampler, std::span<const TokenId> prompt,
                          const GenerationOptions& options, ProbeSink& sink,
                          std::function<bool(TokenId)> on_token = {});

}  // namespace plumbline::native
