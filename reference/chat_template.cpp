#include "reference/internal/chat_template.h"

#include <algorithm>

#include "harness/error.h"
#include "reference/internal/json_fields.h"
#include "reference/jinja/json.h"
#include "reference/jinja/render.h"

namespace plumbline::reference {
namespace {

using jinja::Dict;
using jinja::List;
using jinja::Value;

// chat_template is a text, or a list of named ones.
Dict templates_of(const JsonFields& config) {
  if (!config.has("chat_template")) return {};
  const nlohmann::json& value = config.at("chat_template");
  if (!value.is_array()) return {{"default", config.text("chat_template", "")}};
  Dict templates;
  for (const nlohmann::json& named : value) {
    const bool whole = named.is_object() && named.contains("name") && named["name"].is_string() &&
                       named.contains("template") && named["template"].is_string();
    if (!whole) config.refuse("chat_template", "must be a text, or a list of objects with name and template");
    assign(templates, named["name"].get<std::string>(), named["template"].get<std::string>());
  }
  return templates;
}

// A special token is a text, or an object with its content.
Dict special_tokens(const nlohmann::json& config) {
  Dict tokens;
  for (const char* name :
       {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    if (!config.contains(name)) continue;
    const nlohmann::json& value = config[name];
    const nlohmann::json& content = value.is_object() && value.contains("content") ? value["content"] : value;
    if (content.is_string()) tokens.emplace_back(name, content.get<std::string>());
  }
  return tokens;
}

// As chat APIs give them, and transformers takes them.
Value call_value(const ToolCall& call) {
  const std::string where = "arguments of the tool call " + call.name;
  return Dict{
      {"type", "function"},
      {"function", Dict{{"name", call.name}, {"arguments", jinja::read_json(call.arguments, where)}}}};
}

Value message_value(const ChatMessage& message) {
  Dict value{{"role", message.role}, {"content", message.content}};
  List calls;
  for (const ToolCall& call : message.tool_calls) calls.push_back(call_value(call));
  if (!calls.empty()) value.emplace_back("tool_calls", std::move(calls));
  return value;
}

Value tools_value(const std::vector<std::string>& tools) {
  if (tools.empty()) return jinja::None{};
  List values;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const std::string where = "tool " + std::to_string(i + 1);
    values.push_back(jinja::read_json(tools[i], where));
    if (values.back().dict() == nullptr) throw Error("is no JSON object", where);
  }
  return values;
}

}  // namespace

ChatTemplate::ChatTemplate(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "chat_template.jinja";
  const std::filesystem::path config = directory / "tokenizer_config.json";
  where_ = directory.string();
  if (std::filesystem::exists(config)) {
    where_ = config.string();
    const nlohmann::json object = parse_json_object(read_text_file(config), where_);
    templates_ = templates_of(JsonFields(object, where_));
    special_ = special_tokens(object);
  }
  if (!std::filesystem::exists(file)) return;
  where_ = file.string();
  templates_ = {{"default", read_text_file(file)}};
}

const std::string& ChatTemplate::program_for(const ChatOptions& options) const {
  if (templates_.empty()) throw Error("has no chat template", where_, "chat needs an instruct checkpoint");
  const Value* found = options.tools.empty() ? nullptr : find(templates_, "tool_use");
  if (found == nullptr) found = find(templates_, "default");
  if (found == nullptr) throw Error("chat_template has none named default", where_);
  return *found->text();
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, const ChatOptions& options) const {
  const std::string& program = program_for(options);
  if (messages.empty()) throw Error("no messages", "chat");
  List list;
  for (const ChatMessage& message : messages) list.push_back(message_value(message));
  Dict variables = special_;
  assign(variables, "messages", std::move(list));
  assign(variables, "tools", tools_value(options.tools));
  assign(variables, "documents", jinja::None{});
  assign(variables, "add_generation_prompt", options.add_generation_prompt);
  return jinja::render(jinja::parse(program, where_), variables, where_);
}

}  // namespace plumbline::reference
