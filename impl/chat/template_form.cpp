#include "impl/chat/template_form.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/weight_hash.h"
#include "impl/chat/template_lexer.h"

namespace plumbline::native {
namespace {

using Token = TemplateToken;
using Part = TemplatePart;
using Tokens = std::vector<Token>;

bool is_sign(const Token& token, std::string_view sign) {
  return token.kind == Token::Kind::sign && token.text == sign;
}

// x['name'] as x.name.
Tokens with_dots(const Tokens& tokens) {
  const auto is_name = [](const std::string& text) {
    return !text.empty() &&
           std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  };
  Tokens out;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool after_value =
        !out.empty() && (out.back().kind == Token::Kind::word || is_sign(out.back(), "]"));
    const bool key = after_value && i + 2 < tokens.size() && is_sign(tokens[i], "[") &&
                     tokens[i + 1].kind == Token::Kind::literal && is_name(tokens[i + 1].text) &&
                     is_sign(tokens[i + 2], "]");
    if (!key) {
      out.push_back(tokens[i]);
      continue;
    }
    out.push_back({Token::Kind::sign, "."});
    out.push_back({Token::Kind::word, tokens[i + 1].text});
    i += 2;
  }
  return out;
}

// Whether these are one literal, or what is always a text: a message's role or content.
bool is_text(std::span<const Token> tokens) {
  if (tokens.size() == 1) return tokens[0].kind == Token::Kind::literal;
  const bool message = tokens.size() >= 3 && (tokens[0].text == "message" || tokens[0].text == "messages");
  const bool plain = std::ranges::all_of(tokens, [](const Token& each) {
    return each.kind == Token::Kind::word || is_sign(each, ".") || is_sign(each, "[") || is_sign(each, "]");
  });
  return message && plain && is_sign(tokens[tokens.size() - 2], ".") &&
         (tokens.back().text == "role" || tokens.back().text == "content");
}

// {{ a + b }} of texts as {{ a }}{{ b }}, and {{ 'a' }} as a; any other output as it is.
std::vector<Part> split_output(const Tokens& tokens) {
  std::vector<Part> out;
  const std::span<const Token> all = tokens;
  for (std::size_t begin = 0; begin <= all.size();) {
    std::size_t end = begin;
    while (end < all.size() && !is_sign(all[end], "+")) ++end;
    const std::span<const Token> operand = all.subspan(begin, end - begin);
    if (!is_text(operand)) return {{Part::Kind::output, {}, tokens}};
    if (operand[0].kind == Token::Kind::literal) {
      out.push_back({Part::Kind::text, operand[0].text, {}});
    } else {
      out.push_back({Part::Kind::output, {}, {operand.begin(), operand.end()}});
    }
    begin = end + 1;
  }
  return out;
}

std::vector<Part> plain_parts(const std::vector<Part>& parts) {
  std::vector<Part> out;
  const auto add = [&](Part part) {
    if (part.kind == Part::Kind::text && !out.empty() && out.back().kind == Part::Kind::text) {
      out.back().text += part.text;
    } else {
      out.push_back(std::move(part));
    }
  };
  for (const Part& part : parts) {
    const Tokens tokens = with_dots(part.tokens);
    if (part.kind != Part::Kind::output) {
      add({part.kind, part.text, tokens});
    } else {
      for (Part& each : split_output(tokens)) add(std::move(each));
    }
  }
  return out;
}

bool is_block(const Part& part, std::string_view word) {
  return part.kind == Part::Kind::block && part.tokens.size() == 1 && part.tokens[0].text == word;
}

std::string in_quotes(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A text in the form; default system texts in it are put aside.
void add_text(std::string_view text, TemplateForm& form) {
  constexpr std::string_view kBegin = "<|im_start|>system\n", kEnd = "<|im_end|>", kAny = "<|im_";
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t begin = text.find(kBegin, from);
    const std::size_t content = begin == std::string_view::npos ? begin : begin + kBegin.size();
    const std::size_t end = content == std::string_view::npos ? content : text.find(kAny, content);
    if (end == std::string_view::npos || !text.substr(end).starts_with(kEnd)) {
      form.text += fmt::format("text {}\n", in_quotes(text.substr(from)));
      return;
    }
    form.text += fmt::format("text {}\ndefault system\n", in_quotes(text.substr(from, content - from)));
    form.default_systems.emplace_back(text.substr(content, end - content));
    from = end;
  }
}

}  // namespace

std::string TemplateForm::fingerprint() const {
  return sha256_hex(std::as_bytes(std::span(text)));
}

TemplateForm template_form(std::string_view jinja, const std::string& where) {
  const std::vector<Part> parts = plain_parts(template_parts(jinja, where));
  TemplateForm form;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    if (part.kind == Part::Kind::text) {
      const bool alone =
          i > 0 && i + 1 < parts.size() && is_block(parts[i - 1], "else") && is_block(parts[i + 1], "endif");
      if (alone && part.text.find("<|im_") == std::string::npos) {
        form.text += "default system\n";
        form.default_systems.push_back(part.text);
      } else {
        add_text(part.text, form);
      }
      continue;
    }
    form.text += part.kind == Part::Kind::output ? "output" : "block";
    for (const Token& token : part.tokens) {
      form.text.append(" ").append(token.kind == Token::Kind::literal ? in_quotes(token.text) : token.text);
    }
    form.text += "\n";
  }
  return form;
}

}  // namespace plumbline::native
