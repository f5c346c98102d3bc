// What a chat template says, apart from how it is written: equal forms render equal chats.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plumbline::native {

// White space is taken as Hugging Face's transformers sets Jinja up (trim_blocks, lstrip_blocks, one line end
// at the end of the template), so that indentation, trim marks and comments leave no trace. Quotes, escapes,
// x['name'] for x.name, and {{ 'text' + message.role }} for text{{ message.role }} are one spelling each.
struct TemplateForm {
  std::string text;  // one line for each tag and text
  // The default system texts in it, in order, which are left out of `text`: what stands between
  // "<|im_start|>system\n" and "<|im_end|>", or alone in an else.
  std::vector<std::string> default_systems;

  std::string fingerprint() const;  // SHA-256 of `text`, in hex
};

// Throws Error for what the lexer does not know; nothing is guessed.
TemplateForm template_form(std::string_view jinja, const std::string& where);

}  // namespace plumbline::native
