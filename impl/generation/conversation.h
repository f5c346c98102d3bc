// A conversation of many turns: only what is new goes through the engine, and when it gets too long its
// oldest turns go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "impl/generation/chat_format.h"
#include "impl/generator.h"

namespace plumbline::native {

// What happens to a conversation that has no room for another turn. The system prompt always stays.
enum class WhenLong : std::uint8_t {
  recompute,  // the oldest exchanges go, and the rest is read again: as if they had never been
  keep,       // they go, and the keys of the rest stay, which attended to them: cheap, and not exact
  refuse,     // Error
};

struct ConversationSettings {
  // Of each answer; the prompt and the hooks are say()'s. `options.max_new_tokens` is also the room that is
  // made before an answer begins; where there is no such number, a quarter of the limit is.
  GenerationOptions options;
  std::vector<std::string> stop_strings;
  std::uint64_t stream = 0;
  WhenLong when_long = WhenLong::recompute;
  // The most tokens of all turns; 0, or beyond the context: the context.
  std::int64_t limit = 0;
  // nullopt: the generator's own, or the chat format's default.
  std::optional<std::string> system;
};

struct Turn {
  ChatMessage message;
  std::int64_t begin = 0;  // of its tokens in the context
};

struct ConversationOutput : GenerationOutput {
  std::int64_t evicted_turns = 0;   // before this answer
  std::int64_t evicted_tokens = 0;  // of them
};

class Conversation {
 public:
  // Forks `base`, whose cached prefix is used, and which may go on with other things. Throws Error without a
  // tokenizer or a chat format, and as Generator::fork does.
  explicit Conversation(const Generator& base, ConversationSettings settings = {});

  // Reads what is not in the cache yet: of a new conversation, the system prompt. Throws what the engine
  // throws.
  void read_ahead(StepSink* sink = nullptr) { generator_.extend({}, sink); }
  // The user's turn, and the answer. Where this throws, the conversation is as it was before, but for turns
  // that were evicted to make room; and so it is after an interrupt before the first token. Throws Error for
  // a text without room even so, and as Generator::generate does.
  ConversationOutput say(std::string_view text, GenerationHooks hooks = {}, StepSink* sink = nullptr);
  // The same with another role: a tool's result.
  ConversationOutput say(const ChatMessage& message, GenerationHooks hooks = {}, StepSink* sink = nullptr);
  // More of an answer that ended early; nothing more of one that ended with an end token. Throws Error where
  // there is no answer.
  ConversationOutput go_on(GenerationHooks hooks = {}, StepSink* sink = nullptr);
  // Forgets the last exchange: the last user's turn and all after it. Throws Error where there is none.
  void take_back();

  // All turns held; the system prompt is none.
  const std::vector<Turn>& turns() const { return turns_; }
  std::int64_t opening_tokens() const { return opening_; }  // of the system prompt
  const Context& context() const { return generator_.context(); }
  const ConversationSettings& settings() const { return settings_; }
  ConversationSettings& settings() { return settings_; }
  const Generator& generator() const { return generator_; }
  void reseed(std::uint64_t seed) { generator_.reseed(seed); }
  Conversation fork() const;

  // One file, whole or not at all: turns, tokens, settings, seed, and the cached keys and values where the
  // cache can give them. Throws Error when it cannot be written.
  void save(const std::filesystem::path& path) const;
  // Goes on as the saved one would have: the same tokens. What the file has no keys for is read again at the
  // next turn. `base` says engine, tokenizer and cache; seed and settings are the file's. Throws Error for a
  // file that is no conversation, truncated, altered, of another version, model or length of context.
  static Conversation load(const std::filesystem::path& path, const Generator& base);

 private:
  Conversation(const Conversation& other, Generator generator);
  std::int64_t limit() const;
  void close_answer();
  void make_room(const ChatMessage& message, std::int64_t tokens, ConversationOutput& output);
  // How many of the oldest turns, but `most`, have to go for so many more tokens: whole exchanges.
  std::size_t turns_too_many(std::int64_t tokens, std::size_t most) const;
  void forget_oldest(std::size_t turns, std::int64_t wanted);
  StopReason stop_at_limit(GenerationOptions& options, std::int64_t added) const;
  GenerationOutput answer(std::vector<TokenId> tokens, GenerationHooks hooks, StepSink* sink);
  std::vector<TokenId> encode(std::string_view text) const { return generator_.tokenizer()->encode(text); }

  Generator generator_;
  ChatFormat format_;
  ConversationSettings settings_;
  std::vector<Turn> turns_;
  std::int64_t opening_ = 0;
};

}  // namespace plumbline::native
