// A checkpoint's chat template, as far as it is ChatML.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "harness/tokenizer.h"

namespace plumbline::reference {

class ChatTemplate {
 public:
  // From chat_template.jinja, else from tokenizer_config.json; a checkpoint may have neither.
  explicit ChatTemplate(const std::filesystem::path& directory);
  // See load_tokenizer.
  std::string render(std::span<const ChatMessage> messages, bool add_generation_prompt) const;
  const std::string& default_system() const { return default_system_; }

 private:
  std::string where_;
  std::string text_;
  std::string default_system_;
};

}  // namespace plumbline::reference
