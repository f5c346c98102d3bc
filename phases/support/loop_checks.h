// What a generation loop must do, on any checkpoint: checks that the suite of phase 5 records, and that blame
// what is planted in the trial's third loop. Each check's name says what was found right or wrong.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/report.h"
#include "phases/support/loop_kit.h"

namespace plumbline::phases {

struct LoopPrompts {
  std::vector<TokenId> line;   // several tokens, no two halves alike
  std::vector<TokenId> other;  // beginning with another token
  std::int64_t tokens = 8;     // to be generated in most checks
};

struct LoopCheck {
  std::string_view case_id;  // "5C.1"
  std::string_view name;     // of the group
  bool needs_text;           // skips all where there is no tokenizer
  std::vector<Check> (*run)(const LoopKit& kit, const LoopPrompts& prompts);
};

// Of all groups. Some skip, with a reason, what needs a tokenizer, a chat format or an engine that lets its
// activations be changed.
std::span<const LoopCheck> all_loop_checks();

// The groups, by the file that has them.
std::vector<Check> check_end_tokens(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_stop_strings(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_streaming(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_limits(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_empty_prompt(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_prefix(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_fork(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_batch(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_callbacks(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_insertion(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_capture(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_intervention(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_turns(const LoopKit& kit, const LoopPrompts& prompts);
std::vector<Check> check_eviction(const LoopKit& kit, const LoopPrompts& prompts);

// Greedy, so many tokens, no end token.
native::GenerationRequest greedy_request(native::Prompt prompt, std::int64_t tokens);
Check check_skipped(std::string what, std::string reason);

}  // namespace plumbline::phases
