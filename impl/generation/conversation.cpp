#include "impl/generation/conversation.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

const Tokenizer& require_tokenizer(const Generator& generator) {
  if (generator.tokenizer() == nullptr) throw Error("a conversation needs a tokenizer", "conversation");
  return *generator.tokenizer();
}

void append(std::vector<TokenId>& tokens, const std::vector<TokenId>& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

}  // namespace

Conversation::Conversation(const Generator& base, ConversationSettings settings)
    : generator_(base.fork()), format_(require_tokenizer(base)), settings_(std::move(settings)) {
  if (!settings_.system) settings_.system = generator_.system_prompt();
  const std::string opening =
      settings_.system ? format_.message({"system", *settings_.system}) : format_.default_opening();
  const std::vector<TokenId> tokens = encode(opening);
  opening_ = static_cast<std::int64_t>(tokens.size());
  if (opening_ >= limit()) {
    throw Error(
        fmt::format("the system prompt has {} tokens, the conversation room for {}", opening_, limit()),
        "conversation");
  }
  generator_.context().assign(tokens);
}

Conversation::Conversation(const Conversation& other, Generator generator)
    : generator_(std::move(generator)),
      format_(other.format_),
      settings_(other.settings_),
      turns_(other.turns_),
      opening_(other.opening_) {}

Conversation Conversation::fork() const {
  return {*this, generator_.fork()};
}

std::int64_t Conversation::limit() const {
  const std::int64_t most = context().limit();
  return settings_.limit > 0 ? std::min(settings_.limit, most) : most;
}

// Behind an answer comes what ends one in this chat format; the model may have begun with it.
void Conversation::close_answer() {
  if (turns_.empty() || turns_.back().message.role != "assistant") return;
  Context& context = generator_.context();
  std::vector<TokenId> end = encode(format_.answer_end());
  const auto ends_with = [&](std::int64_t token) { return context.tokens().back() == token; };
  if (!end.empty() && ends_with(end.front())) {
    end.erase(end.begin());
  } else if (std::ranges::any_of(settings_.options.eos_token_ids, ends_with)) {
    context.crop(context.length() - 1);  // an end token of another kind: the format has its own
  }
  context.append(end);
}

std::size_t Conversation::turns_too_many(std::int64_t tokens, std::size_t most) const {
  const std::int64_t held = context().length();
  std::size_t oldest = 0;
  const auto begin_of = [&](std::size_t turn) { return turn < turns_.size() ? turns_[turn].begin : held; };
  while (oldest < most && opening_ + held - begin_of(oldest) + tokens > limit()) {
    do {
      ++oldest;
    } while (oldest < turns_.size() && turns_[oldest].message.role != "user");
  }
  return oldest;
}

void Conversation::forget_oldest(std::size_t turns, std::int64_t wanted) {
  Context& context = generator_.context();
  const std::int64_t end = turns < turns_.size() ? turns_[turns].begin : context.length();
  const bool has_positions = context.next_position() + wanted <= context.limit();
  if (settings_.when_long == WhenLong::keep && end <= context.cached() && has_positions) {
    context.evict(opening_, end);
  } else {
    const std::vector<TokenId> rest(context.tokens().begin() + end, context.tokens().end());
    context.crop(opening_);
    context.append(rest);
  }
  turns_.erase(turns_.begin(), turns_.begin() + static_cast<std::ptrdiff_t>(turns));
  for (Turn& each : turns_) each.begin -= end - opening_;
}

void Conversation::make_room(const ChatMessage& message, std::int64_t tokens, ConversationOutput& output) {
  const std::int64_t held = context().length();
  if (settings_.when_long == WhenLong::refuse) {
    if (held + tokens < limit()) return;
    throw Error(fmt::format("has {} tokens and no room for {} more and an answer", held, tokens),
                "conversation", "forget older turns");
  }
  std::size_t most = turns_.size();
  if (message.role != "user") {  // it belongs to the last exchange, which stays
    while (most > 0 && turns_[--most].message.role != "user") {
    }
  }
  const std::int64_t wanted = tokens + settings_.options.max_new_tokens.value_or(limit() / 4);
  const std::size_t oldest = turns_too_many(wanted, most);
  if (oldest == 0) return;
  forget_oldest(oldest, wanted);
  output.evicted_turns = static_cast<std::int64_t>(oldest);
  output.evicted_tokens = held - context().length();
}

// No further than the limit, which may be nearer than the context's. Returns the reason that will then be
// given for it.
StopReason Conversation::stop_at_limit(GenerationOptions& options, std::int64_t added) const {
  if (!options.max_new_tokens) {
    const bool nearer = options.max_length.value_or(limit()) >= limit();
    if (nearer) options.max_length = limit();
    return nearer ? StopReason::max_length : StopReason::context_full;
  }
  const std::int64_t left = std::max<std::int64_t>(limit() - context().length() - added, 0);
  if (left > *options.max_new_tokens) return StopReason::context_full;
  options.max_new_tokens = left;
  return StopReason::max_new_tokens;
}

GenerationOutput Conversation::answer(std::vector<TokenId> tokens, GenerationHooks hooks, StepSink* sink) {
  GenerationRequest request;
  const auto added = static_cast<std::int64_t>(tokens.size());
  if (added > 0) request.prompt = Prompt::more(std::move(tokens));
  request.options = settings_.options;
  const StopReason at_limit = stop_at_limit(request.options, added);
  request.stop_strings = settings_.stop_strings;
  request.stream = settings_.stream;
  request.hooks = std::move(hooks);
  GenerationOutput output = generator_.generate(std::move(request), sink);
  if (output.stop == at_limit) output.stop = StopReason::context_full;
  return output;
}

ConversationOutput Conversation::say(std::string_view text, GenerationHooks hooks, StepSink* sink) {
  return say(ChatMessage{"user", std::string(text)}, std::move(hooks), sink);
}

ConversationOutput Conversation::say(const ChatMessage& message, GenerationHooks hooks, StepSink* sink) {
  const std::vector<TokenId> said = encode(format_.message(message)), begin = encode(format_.answer_begin());
  const auto said_size = static_cast<std::int64_t>(said.size());
  const auto added = static_cast<std::int64_t>(said.size() + begin.size());
  const std::int64_t ending = static_cast<std::int64_t>(encode(format_.answer_end()).size());
  if (opening_ + added >= limit()) {
    throw Error(fmt::format("the message has {} tokens, and behind the system prompt there is room for {}",
                            added, limit() - opening_ - 1),
                "conversation", "shorten it");
  }
  ConversationOutput output;
  make_room(message, added + ending, output);
  Context& context = generator_.context();
  const std::vector<TokenId> before(context.tokens().begin(), context.tokens().end());
  try {
    close_answer();
    const std::int64_t from = context.length();
    std::vector<TokenId> tokens = said;
    append(tokens, begin);
    static_cast<GenerationOutput&>(output) = answer(std::move(tokens), std::move(hooks), sink);
    if (output.stop == StopReason::interrupted && output.tokens.empty()) {  // it was not read to its end
      context.assign(before);
      return output;
    }
    turns_.push_back({message, from});
    turns_.push_back({{"assistant", output.text}, from + said_size});
  } catch (...) {
    context.assign(before);
    throw;
  }
  return output;
}

ConversationOutput Conversation::go_on(GenerationHooks hooks, StepSink* sink) {
  if (turns_.empty() || turns_.back().message.role != "assistant")
    throw Error("there is no answer to go on with", "conversation");
  Context& context = generator_.context();
  const std::vector<TokenId> before(context.tokens().begin(), context.tokens().end());
  ConversationOutput output;
  const auto is_last = [&](std::int64_t token) { return before.back() == token; };
  if (std::ranges::any_of(settings_.options.eos_token_ids, is_last)) {
    output.stop = StopReason::eos;
    return output;
  }
  try {
    static_cast<GenerationOutput&>(output) = answer({}, std::move(hooks), sink);
  } catch (...) {
    context.assign(before);
    throw;
  }
  turns_.back().message.content += output.text;
  return output;
}

void Conversation::take_back() {
  while (!turns_.empty()) {
    const Turn last = std::move(turns_.back());
    turns_.pop_back();
    if (last.message.role != "user") continue;
    generator_.context().crop(last.begin);
    return;
  }
  throw Error("there is no turn to take back", "conversation");
}

}  // namespace plumbline::native
