#include "phases/support/chat_checks.h"

#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "impl/tokenizer.h"
#include "phases/support/goldens.h"
#include "phases/support/made_checkpoint.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/tokenizer.h"

namespace plumbline::phases {
namespace {

struct Conversation {
  std::string note, text;
  std::vector<ChatMessage> messages;
  ChatOptions options;
};

ChatMessage message_of(const nlohmann::json& json) {
  const nlohmann::json& content = json.at("content");
  ChatMessage message{json.at("role"), content.is_null() ? std::string() : content.get<std::string>()};
  for (const nlohmann::json& call : json.value("tool_calls", nlohmann::json::array()))
    message.tool_calls.push_back({call.at("name"), call.at("arguments")});
  return message;
}

std::vector<Conversation> conversations() {
  const nlohmann::json golden = read_json(options().fixtures / "goldens" / "chat" / "chat.json");
  std::vector<Conversation> list;
  for (const nlohmann::json& each : golden.at("conversations")) {
    Conversation& made = list.emplace_back(Conversation{each.at("note"), each.at("text"), {}, {}});
    for (const nlohmann::json& message : each.at("messages")) made.messages.push_back(message_of(message));
    made.options.add_generation_prompt = each.at("add_generation_prompt");
    made.options.tools = each.at("tools").get<std::vector<std::string>>();
  }
  return list;
}

// What is rendered, or why it is not.
std::string rendered(const Tokenizer& tokenizer, const Conversation& conversation) {
  try {
    return tokenizer.render_chat(conversation.messages, conversation.options);
  } catch (const Error& problem) {
    return std::string("refused: ") + problem.what();
  }
}

// Both sides over tiny's tokenizer with the template of the goldens.
void record_against_goldens(std::span<const Conversation> list) {
  const MadeCheckpoint folder("chat");
  const std::filesystem::path fixtures = options().fixtures;
  std::filesystem::copy_file(fixtures / "models" / "tiny" / "tokenizer.json",
                             folder.directory() / "tokenizer.json");
  std::filesystem::copy_file(fixtures / "templates" / "chatml_tools.jinja",
                             folder.directory() / "chat_template.jinja");
  const auto native = native::load_tokenizer(folder.directory());
  const auto reference = reference::load_tokenizer(folder.directory());
  for (const Conversation& each : list) {
    record_equal("conversation, native and golden", each.note, each.text, rendered(*native, each));
    record_equal("conversation, reference and golden", each.note, each.text, rendered(*reference, each));
  }
}

// The checkpoint's own template. A refusal by the native side, which knows some templates and guesses none,
// is told as a skip; what it does render has to be what the reference gets by running the template.
void record_own_template(std::span<const Conversation> list) {
  constexpr const char* kWhat = "conversation by the checkpoint's own template, native and reference";
  if (native_tokenizer() == nullptr) return record_skip(kWhat, "the checkpoint has no tokenizer");
  const std::string first = rendered(*native_tokenizer(), list.front());
  if (first.starts_with("refused: ")) return record_skip(kWhat, first);
  for (const Conversation& each : list) {
    record_equal(kWhat, each.note, rendered(*reference_tokenizer(), each),
                 rendered(*native_tokenizer(), each));
  }
}

}  // namespace

void record_chat_goldens() {
  const std::vector<Conversation> list = conversations();
  if (list.empty()) throw Error("has no conversations", "goldens/chat/chat.json");
  record_against_goldens(list);
  record_own_template(list);
}

}  // namespace plumbline::phases
