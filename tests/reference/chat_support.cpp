#include "tests/reference/chat_support.h"

#include <fstream>
#include <sstream>

#include "reference/internal/chat_template.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

namespace plumbline::test {

std::vector<ChatMessage> messages_of(const nlohmann::json& messages) {
  std::vector<ChatMessage> list;
  for (const nlohmann::json& each : messages) {
    const nlohmann::json& content = each.at("content");
    ChatMessage& message = list.emplace_back(
        ChatMessage{each.at("role"), content.is_null() ? std::string() : content.get<std::string>()});
    if (!each.contains("tool_calls")) continue;
    for (const nlohmann::json& call : each.at("tool_calls"))
      message.tool_calls.push_back({call.at("name"), call.at("arguments")});
  }
  return list;
}

ChatOptions options_of(const nlohmann::json& chat) {
  ChatOptions options;
  options.add_generation_prompt = chat.at("add_generation_prompt");
  for (const nlohmann::json& tool : chat.at("tools")) options.tools.push_back(tool);
  return options;
}

std::string read_text(const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(fixture(name), std::ios::binary).rdbuf();
  return text.str();
}

std::string render(const std::string& program, const std::vector<ChatMessage>& messages,
                   const ChatOptions& options) {
  static const TemporaryDirectory directory;
  static const bool copied =
      std::filesystem::copy_file(tiny_model() / "tokenizer_config.json", directory / "tokenizer_config.json");
  (void)copied;
  write_text(directory / "chat_template.jinja", program);
  return reference::ChatTemplate(directory.path()).render(messages, options);
}

}  // namespace plumbline::test
