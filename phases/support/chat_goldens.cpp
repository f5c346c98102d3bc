#include "phases/support/chat_goldens.h"

#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "phases/support/goldens.h"

namespace plumbline::phases {
namespace {

ChatMessage message_of(const nlohmann::json& json) {
  const nlohmann::json& content = json.at("content");
  ChatMessage message{json.at("role"), content.is_null() ? std::string() : content.get<std::string>()};
  for (const nlohmann::json& call : json.value("tool_calls", nlohmann::json::array()))
    message.tool_calls.push_back({call.at("name"), call.at("arguments")});
  return message;
}

}  // namespace

std::vector<Conversation> golden_conversations(const std::filesystem::path& fixtures) {
  const nlohmann::json golden = read_json(fixtures / "goldens" / "chat" / "chat.json");
  std::vector<Conversation> list;
  for (const nlohmann::json& each : golden.at("conversations")) {
    Conversation& made = list.emplace_back(Conversation{each.at("note"), each.at("text"), {}, {}});
    for (const nlohmann::json& message : each.at("messages")) made.messages.push_back(message_of(message));
    made.options.add_generation_prompt = each.at("add_generation_prompt");
    made.options.tools = each.at("tools").get<std::vector<std::string>>();
  }
  if (list.empty()) throw Error("has no conversations", "goldens/chat/chat.json");
  return list;
}

std::string rendered(const Tokenizer& tokenizer, const Conversation& conversation) {
  try {
    return tokenizer.render_chat(conversation.messages, conversation.options);
  } catch (const Error& problem) {
    return std::string("refused: ") + problem.what();
  }
}

void write_chat_checkpoint(const std::filesystem::path& fixtures, const std::filesystem::path& directory) {
  std::filesystem::copy_file(fixtures / "models" / "tiny" / "tokenizer.json", directory / "tokenizer.json");
  std::filesystem::copy_file(fixtures / "templates" / "chatml_tools.jinja",
                             directory / "chat_template.jinja");
}

}  // namespace plumbline::phases
