// Conversations: what each turn reads, what it answers, and what becomes of the oldest.
#include <algorithm>

#include <fmt/format.h>

#include "phases/support/loop_checks.h"
#include "phases/support/loop_oracle.h"
#include "phases/support/turn_texts.h"

namespace plumbline::phases {
namespace {

using Tokens = std::vector<TokenId>;

constexpr const char* kSystem = "Answer in one line.";
constexpr const char* kSaid[] = {"Count from 3 to 9, and then from 12 to 30.",
                                 "I have a red ball. What do I have?", "What day comes after Friday?"};

native::ConversationSettings settings_of(const ChatTexts& chat, std::int64_t tokens) {
  native::ConversationSettings settings;
  settings.options.max_new_tokens = tokens;
  settings.options.eos_token_ids = {chat.end()};
  settings.system = kSystem;
  return settings;
}

// One turn: its answer, and its checks. `text`: all tokens before it, and then with it.
void check_turn(const LoopKit& kit, const ChatTexts& chat, TestedConversation& talk, const std::string& said,
                const std::string& subject, Tokens& text, std::vector<Check>& checks) {
  const bool first = text.empty();
  const std::size_t cached = first ? 0 : text.size() - 1;  // the last token of an answer never is
  if (first) {
    text = chat.system(kSystem);
  } else {
    chat.close(text);
  }
  chat.append(text, chat.user(said));
  SeenTokens seen;
  StepLog log(kit.engine());
  const Tokens made = talk.say(said, watch(seen), &log).tokens;
  chat.append(text, made);
  checks.push_back(check_equal("a turn is put behind all that was said", subject, ids_text(text),
                               ids_text(talk.tokens())));
  const Tokens fed(text.begin() + static_cast<std::ptrdiff_t>(cached), text.end() - 1);
  checks.push_back(check_equal("a turn reads what is new, from the last answer's last token on", subject,
                               ids_text(fed), ids_text(log.tokens())));
  checks.push_back(
      check_whole("an answer in a conversation is a recompute's", subject, kit.engine(), text, seen));
}

Check check_default_system(const LoopKit& kit, const ChatTexts& chat, std::int64_t tokens) {
  native::ConversationSettings settings = settings_of(chat, tokens);
  settings.system.reset();
  const auto talk = kit.generator(few_sequences(kit.engine()))->talk(settings);
  std::vector<ChatMessage> messages{{"user", kSaid[1]}};
  messages.push_back({"assistant", talk->say(kSaid[1], {}, nullptr).text});
  messages.push_back({"user", kSaid[2]});
  const std::string last = talk->say(kSaid[2], {}, nullptr).text;
  Tokens held = talk->tokens();
  if (held.back() == chat.end()) held.pop_back();
  return check_equal("a default system text stands once", "two turns",
                     kit.tokenizer()->render_chat(messages, true) + last,
                     kit.tokenizer()->decode(held, false));
}

}  // namespace

std::vector<Check> check_turns(const LoopKit& kit, const LoopPrompts& prompts) {
  const auto chat = ChatTexts::of(kit.tokenizer());
  if (!chat) return {check_skipped("turns of a conversation", kNoChat)};
  const auto talk = kit.generator(few_sequences(kit.engine()))->talk(settings_of(*chat, prompts.tokens));
  std::vector<Check> checks;
  Tokens text;
  for (std::size_t i = 0; i < std::size(kSaid); ++i)
    check_turn(kit, *chat, *talk, kSaid[i], fmt::format("turn {}", i + 1), text, checks);
  checks.push_back(check_default_system(kit, *chat, prompts.tokens));
  return checks;
}

std::vector<Check> check_eviction(const LoopKit& kit, const LoopPrompts& prompts) {
  const auto chat = ChatTexts::of(kit.tokenizer());
  if (!chat) return {check_skipped("eviction", kNoChat)};
  native::ConversationSettings settings = settings_of(*chat, prompts.tokens);
  const auto free = kit.generator(few_sequences(kit.engine()))->talk(settings);
  free->say(kSaid[0], {}, nullptr);
  Tokens first = free->tokens();
  chat->close(first);
  free->say(kSaid[1], {}, nullptr);
  const Tokens both = free->tokens();
  // Room for these two, and not for another.
  settings.limit = static_cast<std::int64_t>(both.size()) + prompts.tokens + 2;
  const auto talk = kit.generator(few_sequences(kit.engine()))->talk(settings);
  talk->say(kSaid[0], {}, nullptr);
  talk->say(kSaid[1], {}, nullptr);
  SeenTokens seen;
  talk->say(kSaid[2], watch(seen), nullptr);
  const Tokens opening = chat->system(kSystem), held = talk->tokens();
  const std::size_t compared = std::min(opening.size(), held.size());
  std::vector<Check> checks{check_equal("eviction keeps the system prompt", "third turn", ids_text(opening),
                                        ids_text({held.data(), compared}))};
  Tokens expected = opening;
  expected.insert(expected.end(), both.begin() + static_cast<std::ptrdiff_t>(first.size()), both.end());
  chat->close(expected);
  chat->append(expected, chat->user(kSaid[2]));
  chat->append(expected, seen.tokens);
  checks.push_back(
      check_equal("the oldest exchange goes, whole", "third turn", ids_text(expected), ids_text(held)));
  checks.push_back(check_whole("an answer after eviction is as if the oldest had never been", "third turn",
                               kit.engine(), held, seen));
  return checks;
}

}  // namespace plumbline::phases
