#include "impl/chat/render.h"

#include <fmt/format.h>

#include "impl/chat/python_json.h"

namespace plumbline::native {
namespace {

constexpr std::string_view kStart = "<|im_start|>", kEndLine = "<|im_end|>\n";

constexpr std::string_view kBeforeTools =
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
constexpr std::string_view kAfterTools =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n"
    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";

void append_turn(std::string& out, std::string_view role, std::string_view content) {
  out.append(kStart).append(role).append("\n").append(content).append(kEndLine);
}

std::string tools_text(const std::vector<std::string>& tools) {
  std::string out(kBeforeTools);
  for (std::size_t i = 0; i < tools.size(); ++i) {
    out.append("\n").append(python_json_object(tools[i], fmt::format("tool {}", i + 1)));
  }
  return out.append(kAfterTools);
}

void append_calls(std::string& out, const ChatMessage& message) {
  out.append(kStart).append(message.role);
  if (!message.content.empty()) out.append("\n").append(message.content);
  for (const ToolCall& call : message.tool_calls) {
    const std::string arguments =
        python_json(call.arguments, fmt::format("arguments of the tool call {}", call.name));
    out += fmt::format("\n<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>", call.name,
                       arguments);
  }
  out.append(kEndLine);
}

// Results that follow each other share one turn of the user.
void append_result(std::string& out, std::span<const ChatMessage> messages, std::size_t i) {
  if (i == 0 || messages[i - 1].role != "tool") out.append(kStart).append("user");
  out.append("\n<tool_response>\n").append(messages[i].content).append("\n</tool_response>");
  if (i + 1 == messages.size() || messages[i + 1].role != "tool") out.append(kEndLine);
}

std::string render_with_tools(const DefaultSystem& defaults, std::span<const ChatMessage> messages,
                              const ChatOptions& options) {
  const bool own_system = messages.front().role == "system";
  const auto& given = options.tools.empty() ? defaults.text : defaults.with_tools;
  std::string system = own_system ? messages.front().content : given.value_or("");
  if (!options.tools.empty()) system += tools_text(options.tools);
  std::string out;
  append_turn(out, "system", system);
  for (std::size_t i = own_system ? 1 : 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (message.role == "tool") {
      append_result(out, messages, i);
    } else if (message.role == "assistant" && !message.tool_calls.empty()) {
      append_calls(out, message);
    } else if (message.role == "system" || message.role == "user" || message.role == "assistant") {
      append_turn(out, message.role, message.content);
    }  // other roles leave nothing
  }
  return out;
}

std::string render_plain(const ChatForm& form, const DefaultSystem& defaults,
                         std::span<const ChatMessage> messages, const ChatOptions& options) {
  std::string out;
  if (messages.front().role != "system" && defaults.text) append_turn(out, "system", *defaults.text);
  for (const ChatMessage& each : messages) append_turn(out, each.role, each.content);
  const bool open = form.closes == ChatForm::Closes::prompted && !options.add_generation_prompt;
  if (open) out.resize(out.size() - kEndLine.size());
  return out;
}

// What the template does not look at is judged too: a caller's mistake does not depend on the checkpoint.
void check_json(std::span<const ChatMessage> messages, const ChatOptions& options) {
  tools_text(options.tools);
  std::string ignored;
  for (const ChatMessage& each : messages) append_calls(ignored, each);
}

}  // namespace

DefaultSystem default_system(std::span<const std::string> texts) {
  if (texts.empty()) return {};
  return {.text = texts.back(), .with_tools = texts.front()};
}

std::string render_messages(const ChatForm& form, const DefaultSystem& defaults,
                            std::span<const ChatMessage> messages, const ChatOptions& options) {
  check_json(messages, options);
  std::string out = form.turns == ChatForm::Turns::with_tools
                        ? render_with_tools(defaults, messages, options)
                        : render_plain(form, defaults, messages, options);
  const bool answered = form.prompt == ChatForm::Prompt::not_answered && messages.back().role == "assistant";
  if (options.add_generation_prompt && !answered) out.append(kStart).append("assistant\n");
  return out;
}

}  // namespace plumbline::native
