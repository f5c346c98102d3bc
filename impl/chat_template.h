// ChatML, the chat format of Qwen2 checkpoints: "<|im_start|>role\ncontent<|im_end|>\n" for each message.
//
// The checkpoint's template is a Jinja program; it is not run. It must be ChatML: that is, contain
// "<|im_start|>". Its default system text is read by one rule: the first string literal in it that holds
// "<|im_start|>system\n", then text without quotes, then "<|im_end|>" gives that text. A template without
// such a literal has no default. Tools are not rendered.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "harness/tokenizer.h"

namespace plumbline::native {

class ChatTemplate {
 public:
  // Throws Error naming `where` when the template is not ChatML.
  ChatTemplate(std::string_view jinja, const std::string& where);

  const std::optional<std::string>& default_system() const { return default_system_; }
  // The default system message is put in when the first message is not a system message. Throws Error when
  // there are no messages.
  std::string render(std::span<const ChatMessage> messages, bool add_generation_prompt) const;

 private:
  std::optional<std::string> default_system_;
};

}  // namespace plumbline::native
