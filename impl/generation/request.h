// One piece of text to be generated: what to continue, how, until when; and what came of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "harness/generation.h"
#include "harness/tokenizer.h"
#include "impl/generation/hooks.h"

namespace plumbline::native {

// What to continue. Text, messages and token ids are the whole prompt: what they share with the tokens held,
// from the first on, is not computed again. `more` is put behind all tokens held.
class Prompt {
 public:
  Prompt() = default;                                                   // empty: goes on from what is held
  Prompt(const char* text) : content_(std::string(text)) {}             // NOLINT(google-explicit-constructor)
  Prompt(std::string_view text) : content_(std::string(text)) {}        // NOLINT(google-explicit-constructor)
  Prompt(std::string text) : content_(std::move(text)) {}               // NOLINT(google-explicit-constructor)
  Prompt(std::vector<ChatMessage> chat) : content_(std::move(chat)) {}  // NOLINT(google-explicit-constructor)
  Prompt(std::vector<TokenId> tokens) : content_(std::move(tokens)) {}  // NOLINT(google-explicit-constructor)
  static Prompt more(std::vector<TokenId> tokens) {
    Prompt prompt(std::move(tokens));
    prompt.is_more_ = true;
    return prompt;
  }

  bool is_more() const { return is_more_; }
  const std::variant<std::string, std::vector<ChatMessage>, std::vector<TokenId>>& content() const {
    return content_;
  }

 private:
  std::variant<std::string, std::vector<ChatMessage>, std::vector<TokenId>> content_;
  bool is_more_ = false;
};

struct GenerationRequest {
  Prompt prompt;
  GenerationOptions options;  // its `cache` says nothing here: the generator has one
  // Ends where the text of the new tokens contains one of these. GenerationOutput::text ends before it; its
  // tokens stay in the context.
  std::vector<std::string> stop_strings;
  bool skip_special_tokens = true;  // in texts
  // Which of the sampler's streams: requests that are to draw differently need different ones. In a batch, a
  // request has the stream that it names, too: its row alone gives the same tokens.
  std::uint64_t stream = 0;
  GenerationHooks hooks;
};

// Throws Error for sampling parameters and limits that make no sense, an empty stop string, and stop strings
// where there is no tokenizer.
void validate(const GenerationRequest& request, bool has_tokenizer);

struct GenerationTimings {
  double to_first_token = 0;  // seconds from the call, tokenizing and prefill included
  double prefill = 0;         // forward calls up to the first token's logits
  double decode = 0;          // forward calls after them
  double sampling = 0;
  double hooks = 0;
  double total = 0;
};

struct GenerationOutput : GenerationResult {
  std::string text;         // of the new tokens, inserted ones too; without a tokenizer empty
  std::string stop_string;  // that was found
  std::int64_t prompt_tokens = 0;
  std::int64_t reused_tokens = 0;     // of the prompt, that were in the cache
  std::int64_t processed_tokens = 0;  // that went through the engine
  std::int64_t inserted_tokens = 0;   // by on_token; they are not among `tokens`
  SequenceId sequence = 0;            // that it had in the cache
  bool exact = true;  // false: it attended to tokens that had attended to evicted ones (Context::evict)
  GenerationTimings timings;
  std::int64_t cache_bytes = 0;  // allocated by the cache, all sequences
  std::int64_t peak_memory = 0;  // bytes, of the process so far
};

}  // namespace plumbline::native
