#include "impl/generation/chat_format.h"

#include <array>

#include "harness/error.h"

namespace plumbline::native {
namespace {

const ChatMessage kSystem{"system", "S"};

[[noreturn]] void refuse() {
  throw Error("this chat format cannot be taken apart", "chat_template",
              "messages must be rendered one by one");
}

std::string without_prefix(const std::string& text, const std::string& prefix) {
  if (!text.starts_with(prefix)) refuse();
  return text.substr(prefix.size());
}

std::string without_suffix(const std::string& text, const std::string& suffix) {
  if (!text.ends_with(suffix)) refuse();
  return text.substr(0, text.size() - suffix.size());
}

}  // namespace

ChatFormat::ChatFormat(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {
  const ChatMessage user{"user", "U"};
  const std::string system = tokenizer.render_chat({&kSystem, 1}, false);
  answer_begin_ = without_prefix(tokenizer.render_chat({&kSystem, 1}, true), system);
  default_opening_ = without_suffix(tokenizer.render_chat({&user, 1}, false), message(user));
  answer_end_ = without_prefix(message({"assistant", "A"}), answer_begin_ + "A");
}

std::string ChatFormat::message(const ChatMessage& message) const {
  if (!message.tool_calls.empty()) {
    throw Error("tool calls cannot be said", "conversation",
                "they are part of the assistant's answer, as it wrote them");
  }
  const std::array<ChatMessage, 2> both{kSystem, message};
  std::string text =
      without_prefix(tokenizer_->render_chat(both, false), tokenizer_->render_chat({&kSystem, 1}, false));
  if (text.empty())
    throw Error("the chat format leaves out a message of '" + message.role + "'", "conversation");
  return text;
}

}  // namespace plumbline::native
