// What the suite of the generation loop feeds in: prompts of few and of many tokens, and ways to split them
// into forward calls.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/generation.h"
#include "harness/trace.h"
#include "phases/support/loop_checks.h"
#include "phases/support/sides.h"

namespace plumbline::phases {

inline constexpr CacheKind kKinds[] = {CacheKind::concat, CacheKind::fixed};
std::string kind_name(CacheKind kind);  // "concatenating cache", "fixed cache"

std::string text_of(std::span<const TokenId> ids);  // "12 5 7"

// A prompt and the golden greedy text that follows it, where there is any.
std::vector<TokenId> whole_text(const Prompt& prompt);

// Splits of n tokens into forward calls: prefill and single steps, chunks of one size.
std::vector<std::int64_t> prefill_and_steps(std::int64_t tokens, std::int64_t prefill);
std::vector<std::int64_t> chunks(std::int64_t tokens, std::int64_t size);

Prompt word();     // about 1 token
Prompt words();    // about 3
Prompt line();     // about 9
Prompt passage();  // about 37

// The checkpoint at hand, and the zoo's with a head of keys for each head, for several, and for all.
struct HeadedModel {
  std::string name;
  std::filesystem::path model;  // empty: the checkpoint at hand
};
std::vector<HeadedModel> with_all_kinds_of_heads();

// Of a layer of the subject; none where it attends to everything.
std::optional<std::int64_t> window_of(int layer);

// The last step's tensor of a site.
const Tensor& last_recorded(const Trace& trace, OpSite site);

// The goldens' end tokens, or 8 tokens where there are no goldens.
GenerationOptions greedy_options(CacheKind kind);
// By the native loop and sampler, on the subject.
GenerationResult native_greedy(const Prompt& prompt, const GenerationOptions& options);

// Prompts of several tokens that begin with different ones, whatever the checkpoint.
LoopPrompts loop_prompts();
// The native tokenizer, where text can be had; else null, and why.
struct TextTokenizer {
  const Tokenizer* tokenizer = nullptr;
  std::string reason;
};
// A short run does without that of a real vocabulary, whose reading takes as long as all its cases of text.
TextTokenizer text_tokenizer();
// Records the loop's checks (loop_checks.h) of a case, by the native one on the subject.
void record_loop_checks(std::string_view case_id);

}  // namespace plumbline::phases
