// Chats in the forms that are known.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "harness/tokenizer.h"
#include "impl/chat/known_forms.h"

namespace plumbline::native {

struct DefaultSystem {
  std::optional<std::string> text;        // put in where the first message is not the system's
  std::optional<std::string> with_tools;  // the same where there are tools
};

// Of a template's default texts, in its order: where there are two, the first is for chats with tools
// (Qwen2.5's asks for tools first).
DefaultSystem default_system(std::span<const std::string> texts);

// `messages` is not empty. Throws Error for a tool that is no JSON object, and for arguments that are no
// JSON.
std::string render_messages(const ChatForm& form, const DefaultSystem& defaults,
                            std::span<const ChatMessage> messages, const ChatOptions& options);

}  // namespace plumbline::native
