#include "reference/internal/added_tokens.h"

#include <algorithm>

#include <unicode/uchar.h>

#include "harness/error.h"
#include "reference/internal/utf8.h"

namespace plumbline::reference {
namespace {

bool is_white_space(char32_t c) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_WHITE_SPACE) != 0;
}

// Where the last character of `text` begins; 0 for an empty one.
std::size_t last_character(std::string_view text) {
  std::size_t at = text.empty() ? 0 : text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word(utf8_step(text, last_character(text)).code_point);
}

bool begins_with_word(std::string_view text) {
  return !text.empty() && is_word(utf8_step(text, 0).code_point);
}

// `text` without the white space at its end.
std::string_view trimmed_right(std::string_view text) {
  while (!text.empty()) {
    const std::size_t last = last_character(text);
    if (!is_white_space(utf8_step(text, last).code_point)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view trimmed_left(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text, 0);
    if (!is_white_space(step.code_point)) break;
    text = text.substr(step.length);
  }
  return text;
}

}  // namespace

bool is_word(char32_t c) {
  const auto code_point = static_cast<UChar32>(c);
  constexpr std::uint32_t kCategories = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_hasBinaryProperty(code_point, UCHAR_ALPHABETIC) != 0 ||
         (U_GET_GC_MASK(code_point) & kCategories) != 0 ||
         u_hasBinaryProperty(code_point, UCHAR_JOIN_CONTROL) != 0;
}

const AddedToken* AddedTokens::longest_at(std::string_view text, std::size_t at) const {
  const AddedToken* longest = nullptr;
  for (const AddedToken& token : tokens_) {
    const bool here = text.substr(at, token.content.size()) == token.content;
    if (here && (longest == nullptr || token.content.size() > longest->content.size())) longest = &token;
  }
  return longest;
}

std::vector<AddedTokens::Part> AddedTokens::cut(std::string_view text, bool parse_special) const {
  std::vector<Part> parts;
  std::size_t done = 0;  // the end of the last token
  for (std::size_t at = 0; at < text.size();) {
    const AddedToken* token = longest_at(text, at);
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = at + token->content.size();
    at = end;
    if (token->special && !parse_special) continue;
    const bool beside_word = ends_with_word(text.substr(0, begin)) || begins_with_word(text.substr(end));
    if (token->single_word && beside_word) continue;
    if (token->lstrip) begin = std::max(trimmed_right(text.substr(0, begin)).size(), done);
    if (token->rstrip) end = text.size() - trimmed_left(text.substr(end)).size();
    if (begin > end) {
      throw Error("added token '" + token->content + "' lies within white space that another one took",
                  "text", "Hugging Face's tokenizers fails here");
    }
    if (done < begin) parts.push_back({text.substr(done, begin - done), nullptr});
    if (begin < end) parts.push_back({text.substr(begin, end - begin), token});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), nullptr});
  return parts;
}

}  // namespace plumbline::reference
