// Texts and tags of a Jinja template, and the tokens in its tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plumbline::native {

struct TemplateToken {
  enum class Kind { word, sign, literal };
  Kind kind;
  std::string text;  // of a literal, what it means
  bool operator==(const TemplateToken&) const = default;
};

struct TemplatePart {
  enum class Kind { text, output, block };
  Kind kind;
  std::string text;                   // of a text
  std::vector<TemplateToken> tokens;  // of a tag
};

// White space is gone that transformers' settings of Jinja take; comments are too. Throws Error naming
// `where` for a tag or a literal that does not end, and for escapes and signs that are not known.
std::vector<TemplatePart> template_parts(std::string_view jinja, const std::string& where);

}  // namespace plumbline::native
