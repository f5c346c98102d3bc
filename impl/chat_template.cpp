#include "impl/chat_template.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/chat/template_form.h"
#include "impl/json.h"

namespace plumbline::native {
namespace {

constexpr const char* kHint = "docs/tokenizer.md lists them";

}  // namespace

ChatTemplate::ChatTemplate(const std::filesystem::path& directory) : where_(directory.string()) {
  if (const auto path = directory / "chat_template.jinja"; std::filesystem::exists(path)) {
    where_ = path.string();
    add("default", read_text_file(path));
    return;
  }
  const std::filesystem::path path = directory / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return;
  where_ = path.string();
  const nlohmann::json config = parse_json_object(read_text_file(path), where_);
  const nlohmann::json* found = JsonFields(config, where_).find("chat_template");
  if (found == nullptr) return;
  if (found->is_string()) {
    add("default", found->get<std::string>());
    return;
  }
  if (!found->is_array()) throw Error("chat_template is neither a text nor a list", where_);
  for (const nlohmann::json& each : *found) {
    const bool named = each.is_object() && each.contains("name") && each["name"].is_string() &&
                       each.contains("template") && each["template"].is_string();
    if (!named) throw Error("chat_template lists something without name or template", where_);
    add(each["name"].get<std::string>(), each["template"].get<std::string>());
  }
}

ChatTemplate::ChatTemplate(std::string_view jinja, const std::string& where) : where_(where) {
  add("default", jinja);
}

void ChatTemplate::add(const std::string& name, std::string_view jinja) {
  Named& made = templates_.emplace_back(Named{name, {}, {}, {}});
  try {
    const TemplateForm form = template_form(jinja, where_);
    const std::string fingerprint = form.fingerprint();
    const auto known = std::ranges::find(known_forms(), fingerprint, &KnownForm::fingerprint);
    if (known == known_forms().end() || known->default_systems != form.default_systems.size()) {
      made.refusal = fmt::format("is not one of the templates that are known here (its form is {})",
                                 fingerprint.substr(0, 12));
      return;
    }
    made.form = known->form;
    made.defaults = default_system(form.default_systems);
  } catch (const Error& problem) {
    made.refusal = fmt::format("cannot be read: {}", problem.what());
  }
}

const ChatTemplate::Named& ChatTemplate::template_for(const ChatOptions& options) const {
  const auto named = [&](std::string_view name) { return std::ranges::find(templates_, name, &Named::name); };
  auto found = options.tools.empty() ? templates_.end() : named("tool_use");
  if (found == templates_.end()) found = named("default");
  if (found == templates_.end()) {
    throw Error(templates_.empty() ? "has no chat template" : "chat_template lists none named default",
                where_, "a chat needs an instruct checkpoint");
  }
  if (!found->refusal.empty()) throw Error("chat_template " + found->refusal, where_, kHint);
  return *found;
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, const ChatOptions& options) const {
  const Named& chosen = template_for(options);
  if (messages.empty()) throw Error("no messages", "chat");
  return render_messages(chosen.form, chosen.defaults, messages, options);
}

}  // namespace plumbline::native
