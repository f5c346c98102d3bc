#include <vector>

#include <nlohmann/json.hpp>

#include "tests/mutants/token_stages.h"

namespace plumbline::mutants {
namespace {

using M = TokenMistake;

std::string without_first_turn(const std::string& chat) {
  constexpr std::string_view kEnd = "<|im_end|>\n";
  const std::size_t end = chat.find(kEnd);
  return end == std::string::npos ? chat : chat.substr(end + kEnd.size());
}

std::string sorted(const std::string& arguments) {
  const nlohmann::json value = nlohmann::json::parse(arguments, nullptr, false);
  return value.is_discarded() ? arguments : value.dump();
}

std::string results_apart(std::string chat) {
  constexpr std::string_view kJoined = "</tool_response>\n<tool_response>";
  constexpr std::string_view kApart = "</tool_response><|im_end|>\n<|im_start|>user\n<tool_response>";
  for (std::size_t at = 0; (at = chat.find(kJoined, at)) != std::string::npos; at += kApart.size())
    chat.replace(at, kJoined.size(), kApart);
  return chat;
}

}  // namespace

std::string render_chat(const Tokenizer& right, std::span<const ChatMessage> messages,
                        const ChatOptions& options, TokenMistake planted) {
  std::vector<ChatMessage> given(messages.begin(), messages.end());
  ChatOptions how = options;
  if (planted == M::generation_prompt_missing) how.add_generation_prompt = false;
  if (planted == M::arguments_sorted) {
    for (ChatMessage& message : given) {
      for (ToolCall& call : message.tool_calls) call.arguments = sorted(call.arguments);
    }
  }
  const std::string chat = right.render_chat(given, how);
  const bool defaulted = !messages.empty() && messages.front().role != "system" && options.tools.empty();
  if (planted == M::default_system_lost && defaulted) return without_first_turn(chat);
  return planted == M::results_not_joined ? results_apart(chat) : chat;
}

}  // namespace plumbline::mutants
