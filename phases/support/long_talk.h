// A conversation of many turns over a long system prompt: what each turn costs with that prompt and all that
// was said in the cache, and what it would cost without.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/judge.h"
#include "harness/report.h"
#include "harness/tokenizer.h"
#include "impl/generator.h"

namespace plumbline::phases {

struct TalkPlan {
  std::string system;
  std::int64_t system_tokens = 0;  // with what ChatML puts around it
  std::vector<std::string> said;   // by turn
  std::int64_t answer_tokens = 0;  // at most
};
// Always the same for a tokenizer: sentences, then digits (each is a token) up to exactly so many tokens.
TalkPlan make_talk_plan(const Tokenizer& tokenizer, std::int64_t system_tokens, int turns,
                        std::int64_t answer_tokens);

// One turn, one way of computing it.
struct TurnCost {
  std::int64_t processed = 0;  // tokens that went through the engine
  double attention_bytes = 0;  // as StepLog counts them
  double to_first_token = 0;   // seconds; 0 where it was not run
};
// What a turn is put through besides: all of its calls over the cache judged by replay; and its whole prompt
// answered with nothing cached. Where it is not run without the cache, its costs without are counted, by the
// rule that those which were run must agree with.
struct TurnTrial {
  bool judged = false;
  bool without = false;
};
struct TalkTurn {
  std::int64_t held = 0;    // tokens, after the turn
  std::int64_t reused = 0;  // of the prompt, from the cache
  std::int64_t own = 0;     // new in this turn: said and answered, but for the last token
  TurnTrial trial;
  TurnCost with, without;
  Judgement judgement;        // of every forward call of the turn, where judged
  std::vector<Check> checks;  // run without the cache: the same tokens, logits and counts
};
struct Talk {
  std::vector<TalkTurn> turns;
  // Every answer's logits, in order, against all of the text computed at once with nothing cached.
  std::vector<Check> checks;
};

// Of the native loop on the subject, with its tokenizer; `trials` by turn.
Talk run_talk(const TalkPlan& plan, const std::vector<TurnTrial>& trials);

Evidence cost_table(const TalkPlan& plan, const std::vector<TalkTurn>& turns);
// Tokens through the engine up to each turn, with and without.
Evidence total_table(const TalkPlan& plan, const std::vector<TalkTurn>& turns);

}  // namespace plumbline::phases
