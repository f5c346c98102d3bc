#include "reference/internal/chat_template.h"

#include "harness/error.h"
#include "reference/internal/json_fields.h"

namespace plumbline::reference {
namespace {

constexpr std::string_view kStart = "<|im_start|>";
constexpr std::string_view kEnd = "<|im_end|>";

// chat_template is a text, or a list of named ones of which "default" is meant.
std::string template_of(const JsonFields& config) {
  if (!config.has("chat_template")) return "";
  const nlohmann::json& value = config.at("chat_template");
  if (!value.is_array()) return config.text("chat_template", "");
  for (const nlohmann::json& named : value) {
    if (named.is_object() && named.value("name", "") == "default") return named.value("template", "");
  }
  config.refuse("chat_template", "none of its templates is named default");
}

// A text inside quotes of the template language: \n and \\ are escapes there.
std::string unescaped(std::string_view quoted) {
  std::string text;
  for (std::size_t i = 0; i < quoted.size(); ++i) {
    const bool escape = quoted[i] == '\\' && i + 1 < quoted.size();
    if (!escape) {
      text += quoted[i];
      continue;
    }
    const char next = quoted[++i];
    text += next == 'n' ? '\n' : next;
  }
  return text;
}

std::string find_default_system(const std::string& text) {
  for (const std::string_view newline : {std::string_view("\\n"), std::string_view("\n")}) {
    const std::string opening = std::string(kStart) + "system" + std::string(newline);
    for (std::size_t at = text.find(opening); at != std::string::npos; at = text.find(opening, at + 1)) {
      const std::size_t begin = at + opening.size();
      const std::size_t end = text.find(kEnd, begin);
      if (end == std::string::npos) break;
      const std::string_view between = std::string_view(text).substr(begin, end - begin);
      if (!between.empty() && between.find_first_of("'\"") == std::string_view::npos)
        return unescaped(between);
    }
  }
  return "";
}

std::string rendered(const std::string& role, const std::string& content) {
  return std::string(kStart) + role + "\n" + content + std::string(kEnd) + "\n";
}

}  // namespace

ChatTemplate::ChatTemplate(const std::filesystem::path& directory) {
  const std::filesystem::path jinja = directory / "chat_template.jinja";
  const std::filesystem::path config = directory / "tokenizer_config.json";
  where_ = directory.string();
  if (std::filesystem::exists(jinja)) {
    where_ = jinja.string();
    text_ = read_text_file(jinja);
  } else if (std::filesystem::exists(config)) {
    where_ = config.string();
    const nlohmann::json object = parse_json_object(read_text_file(config), where_);
    text_ = template_of(JsonFields(object, where_));
  }
  default_system_ = find_default_system(text_);
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  if (text_.empty()) throw Error("has no chat template", where_, "chat needs an instruct checkpoint");
  if (text_.find(kStart) == std::string::npos) throw Error("its chat template is not ChatML", where_);
  if (messages.empty()) throw Error("no messages", "chat");
  std::string text;
  if (messages.front().role != "system" && !default_system_.empty())
    text += rendered("system", default_system_);
  for (const ChatMessage& message : messages) {
    const bool known = message.role == "system" || message.role == "user" || message.role == "assistant";
    if (!known)
      throw Error("role '" + message.role + "' is not known here", "chat", "system, user or assistant");
    text += rendered(message.role, message.content);
  }
  if (add_generation_prompt) text += std::string(kStart) + "assistant\n";
  return text;
}

}  // namespace plumbline::reference
