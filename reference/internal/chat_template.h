// A checkpoint's chat template: the program that it is, run as transformers' apply_chat_template runs it.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "harness/tokenizer.h"
#include "reference/jinja/value.h"

namespace plumbline::reference {

class ChatTemplate {
 public:
  // From chat_template.jinja, else from tokenizer_config.json; a checkpoint may have neither. Of templates by
  // name, "tool_use" is taken where there are tools, else "default". Throws Error for files that cannot be
  // read; a template that cannot be run is refused where a chat is rendered.
  explicit ChatTemplate(const std::filesystem::path& directory);

  // Throws Error for no messages, for tools that are no JSON objects, for arguments that are no JSON, and for
  // a template that cannot be run: what it says and where.
  std::string render(std::span<const ChatMessage> messages, const ChatOptions& options) const;

 private:
  const std::string& program_for(const ChatOptions& options) const;

  std::string where_;
  jinja::Dict templates_;  // by name: texts
  jinja::Dict special_;    // bos_token, eos_token and their kind, where tokenizer_config.json has them
};

}  // namespace plumbline::reference
