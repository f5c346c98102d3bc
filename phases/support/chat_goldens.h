// Conversations with tools, and what transformers rendered: fixtures/goldens/chat.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/tokenizer.h"

namespace plumbline::phases {

// A golden conversation, and what transformers rendered from fixtures/templates/chatml_tools.jinja.
struct Conversation {
  std::string note, text;
  std::vector<ChatMessage> messages;
  ChatOptions options;
};
// Throws Error where the fixtures cannot be read, or have none.
std::vector<Conversation> golden_conversations(const std::filesystem::path& fixtures);

// What is rendered, or why it is not.
std::string rendered(const Tokenizer& tokenizer, const Conversation& conversation);

// Puts tiny's tokenizer into a folder, with that template.
void write_chat_checkpoint(const std::filesystem::path& fixtures, const std::filesystem::path& directory);

}  // namespace plumbline::phases
