// The chat format of a checkpoint, as its chat template says it. The template is a Jinja program; it is not
// run: it has to be one of those whose form is known (chat/known_forms.h), whatever its default system texts
// are, and however it is indented and quoted.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tokenizer.h"
#include "impl/chat/render.h"

namespace plumbline::native {

class ChatTemplate {
 public:
  // Reads directory/chat_template.jinja, else chat_template of tokenizer_config.json. Of templates by name,
  // "tool_use" is taken where there are tools, else "default". Throws Error for files that cannot be read; a
  // template that is absent or not known is refused where a chat is rendered.
  explicit ChatTemplate(const std::filesystem::path& directory);
  // A template by itself; errors name `where`.
  ChatTemplate(std::string_view jinja, const std::string& where);

  // Throws Error for no messages, for tools that are no JSON objects, for arguments that are no JSON, and for
  // a template that is absent or not known.
  std::string render(std::span<const ChatMessage> messages, const ChatOptions& options) const;

 private:
  struct Named {
    std::string name;
    ChatForm form;
    DefaultSystem defaults;
    std::string refusal;  // why it cannot be rendered; empty where it can
  };
  void add(const std::string& name, std::string_view jinja);
  const Named& template_for(const ChatOptions& options) const;

  std::string where_;
  std::vector<Named> templates_;
};

}  // namespace plumbline::native
