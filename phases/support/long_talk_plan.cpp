// What is said in the long conversation, and its tables.
#include <array>

#include <fmt/format.h>

#include "harness/error.h"
#include "phases/support/long_talk.h"
#include "phases/support/turn_texts.h"

namespace plumbline::phases {
namespace {

constexpr std::array<const char*, 5> kSentences{
    "You are a kind teacher, and you answer in one line.", "The little cat lived in a house by the river.",
    "One day the cat found a red ball in the grass, and carried it to Anna.",
    "When somebody asks you to count, count up to the last number, and no further.",
    "After Monday comes Tuesday, and after May comes June."};

std::string said_in(int turn) {
  const int n = 3 * turn + 2;
  switch (turn % 4) {
    case 0:
      return fmt::format("Count from {} to {}.", n, n + 9);
    case 1:
      return "I have a red ball. What do I have?";
    case 2:
      return fmt::format("What is {} + {}?", turn % 12, turn % 9);
    default:
      return "Tell me a pangram.";
  }
}

std::string milliseconds(double seconds) {
  return fmt::format("{:.1f}", 1e3 * seconds);
}

std::string megabytes(double bytes) {
  return fmt::format("{:.2f}", bytes / 1e6);
}

}  // namespace

TalkPlan make_talk_plan(const Tokenizer& tokenizer, std::int64_t system_tokens, int turns,
                        std::int64_t answer_tokens) {
  const ChatTexts chat = ChatTexts::of(&tokenizer).value();
  const auto size_with = [&](const std::string& text) {
    return static_cast<std::int64_t>(chat.system(text).size());
  };
  TalkPlan plan{{}, system_tokens, {}, answer_tokens};
  // Sentences by their own sizes first: the whole is tokenized a few times only.
  const std::int64_t around = size_with("");
  std::int64_t about = around;
  for (std::size_t i = 0;; ++i) {
    const std::string sentence = fmt::format("{} ", kSentences[i % kSentences.size()]);
    about += size_with(sentence) - around;
    if (about > system_tokens - 8) break;
    plan.system += sentence;
  }
  plan.system += "Note";
  for (std::int64_t missing = system_tokens - size_with(plan.system); missing > 0; --missing)
    plan.system += static_cast<char>('0' + missing % 10);
  require(size_with(plan.system) == system_tokens, "the system prompt cannot be made of so many tokens");
  for (int turn = 0; turn < turns; ++turn) plan.said.push_back(said_in(turn));
  return plan;
}

Evidence cost_table(const TalkPlan& plan, const std::vector<TalkTurn>& turns) {
  Evidence table{fmt::format("each turn over a system prompt of {} tokens", plan.system_tokens),
                 {"turn", "tokens held", "reused", "processed", "processed without", "attention MB",
                  "attention MB without", "fewer", "ms to first token", "without", "ratio", "judged"},
                 {}};
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const TalkTurn& turn = turns[i];
    const bool without_run = turn.trial.without;
    table.rows.push_back(
        {std::to_string(i + 1), std::to_string(turn.held), std::to_string(turn.reused),
         std::to_string(turn.with.processed), std::to_string(turn.without.processed),
         megabytes(turn.with.attention_bytes), megabytes(turn.without.attention_bytes),
         fmt::format("{:.1f} %", 100 * (1 - turn.with.attention_bytes / turn.without.attention_bytes)),
         milliseconds(turn.with.to_first_token),
         without_run ? milliseconds(turn.without.to_first_token) : "-",
         without_run ? fmt::format("{:.1f}", turn.without.to_first_token / turn.with.to_first_token) : "-",
         turn.trial.judged ? "every call" : "no"});
  }
  return table;
}

Evidence total_table(const TalkPlan& plan, const std::vector<TalkTurn>& turns) {
  Evidence table{"tokens through the engine up to each turn, the system prompt's too",
                 {"up to turn", "with the cache", "without", "without, but for the first turn"},
                 {}};
  std::int64_t with = plan.system_tokens, without = 0, later = 0;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    with += turns[i].with.processed;
    without += turns[i].without.processed;
    if (i > 0) later += turns[i].without.processed;
    table.rows.push_back(
        {std::to_string(i + 1), std::to_string(with), std::to_string(without), std::to_string(later)});
  }
  return table;
}

}  // namespace plumbline::phases
