// Chats from goldens, and templates rendered by themselves.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/tokenizer.h"

namespace plumbline::test {

std::vector<ChatMessage> messages_of(const nlohmann::json& messages);
// Of "tools" and "add_generation_prompt".
ChatOptions options_of(const nlohmann::json& chat);
std::string read_text(const std::string& fixture);

// By tiny's tokenizer with this template.
std::string render(const std::string& program, const std::vector<ChatMessage>& messages,
                   const ChatOptions& options);

}  // namespace plumbline::test
