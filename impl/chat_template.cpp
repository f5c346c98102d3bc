#include "impl/chat_template.h"

#include "harness/error.h"

namespace plumbline::native {
namespace {

constexpr std::string_view kStart = "<|im_start|>";
constexpr std::string_view kEnd = "<|im_end|>";

// The escapes that Jinja's string literals share with Python's, as far as templates use them.
std::string unescape(std::string_view literal) {
  std::string out;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      out += literal[i];
      continue;
    }
    const char next = literal[++i];
    out += next == 'n' ? '\n' : next == 't' ? '\t' : next;
  }
  return out;
}

std::optional<std::string> find_default_system(std::string_view jinja) {
  for (const std::string_view opening : {"<|im_start|>system\\n", "<|im_start|>system\n"}) {
    for (std::size_t at = jinja.find(opening); at != std::string_view::npos;
         at = jinja.find(opening, at + 1)) {
      const std::string_view rest = jinja.substr(at + opening.size());
      const std::size_t end = rest.find(kEnd);
      const bool literal = end != std::string_view::npos && rest.find_first_of("'\"") > end;
      if (literal) return unescape(rest.substr(0, end));
    }
  }
  return std::nullopt;
}

std::string message(std::string_view role, std::string_view content) {
  std::string out(kStart);
  out.append(role).append("\n").append(content).append(kEnd).append("\n");
  return out;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view jinja, const std::string& where) {
  if (jinja.find(kStart) == std::string_view::npos) {
    throw Error("chat_template is not ChatML", where, "it does not contain <|im_start|>");
  }
  default_system_ = find_default_system(jinja);
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  if (messages.empty()) throw Error("has no messages", "chat");
  std::string out;
  if (messages.front().role != "system" && default_system_) out += message("system", *default_system_);
  for (const ChatMessage& each : messages) out += message(each.role, each.content);
  if (add_generation_prompt) out.append(kStart).append("assistant\n");
  return out;
}

}  // namespace plumbline::native
