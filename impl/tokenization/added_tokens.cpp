#include "impl/tokenization/added_tokens.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/unicode.h"

namespace plumbline::native {
namespace {

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

// The beginning of the character that ends at `end`, which is not 0.
std::size_t previous_character(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && is_continuation(text[at])) --at;
  return at;
}

char32_t code_point_at(std::string_view text, std::size_t at) {
  return next_code_point(text, at);
}

bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  const bool before = begin > 0 && is_word(code_point_at(text, previous_character(text, begin)));
  return before || (end < text.size() && is_word(code_point_at(text, end)));
}

// The beginning of the white space that ends at `end`.
std::size_t space_begin(std::string_view text, std::size_t end) {
  while (end > 0) {
    const std::size_t previous = previous_character(text, end);
    if (char_class(code_point_at(text, previous)) != CharClass::space) break;
    end = previous;
  }
  return end;
}

// The end of the white space that begins at `at`.
std::size_t space_end(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::size_t next = at;
    if (char_class(next_code_point(text, next)) != CharClass::space) break;
    at = next;
  }
  return at;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  const auto by_content = [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; };
  const auto equal = [](const AddedToken& a, const AddedToken& b) { return a.content == b.content; };
  std::stable_sort(tokens_.begin(), tokens_.end(), by_content);
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), equal), tokens_.end());
  for (const AddedToken& token : tokens_) begins_[static_cast<unsigned char>(token.content.front())] = true;
  one_beginning_ = std::count(begins_.begin(), begins_.end(), true) == 1;
  if (one_beginning_) only_beginning_ = tokens_.front().content.front();
}

std::size_t AddedTokenFinder::next_begin(std::string_view text, std::size_t from) const {
  if (one_beginning_) return std::min(text.find(only_beginning_, from), text.size());
  while (from < text.size() && !begins_[static_cast<unsigned char>(text[from])]) ++from;
  return from;
}

// Sorted texts that share their first n bytes stand side by side: the range narrows byte by byte, and a text
// of n bytes is the first in it.
const AddedToken* AddedTokenFinder::longest_at(std::string_view text) const {
  const AddedToken* longest = nullptr;
  auto low = tokens_.begin();
  auto high = tokens_.end();
  for (std::size_t n = 0; n < text.size(); ++n) {
    const auto byte_of = [n](const AddedToken& token) {
      return token.content.size() > n ? static_cast<unsigned char>(token.content[n]) : -1;
    };
    const int byte = static_cast<unsigned char>(text[n]);
    low = std::partition_point(low, high, [&](const AddedToken& token) { return byte_of(token) < byte; });
    high = std::partition_point(low, high, [&](const AddedToken& token) { return byte_of(token) == byte; });
    if (low == high) break;
    if (low->content.size() == n + 1) longest = &*low;
  }
  return longest;
}

void AddedTokenFinder::cut(std::string_view text, bool special, std::vector<Part>& parts) const {
  parts.clear();
  std::size_t done = 0;  // the text before is in a part
  for (std::size_t at = 0; !tokens_.empty();) {
    at = next_begin(text, at);
    if (at >= text.size()) break;
    const AddedToken* token = longest_at(text.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = at + token->content.size();
    at = end;  // also where it does not count: nothing is looked for within it
    if (token->special && !special) continue;
    if (token->single_word && touches_word(text, begin, end)) continue;
    if (token->lstrip) begin = std::max(space_begin(text, begin), done);
    if (token->rstrip) end = space_end(text, end);
    if (begin > end) {
      throw Error(
          fmt::format(
              "at byte offset {} the added token '{}' lies within white space that the one before took",
              at - token->content.size(), token->content),
          "text", "Hugging Face's tokenizers fails on it too");
    }
    if (begin > done) parts.push_back({text.substr(done, begin - done), nullptr});
    if (begin < end) parts.push_back({text.substr(begin, end - begin), token});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), nullptr});
}

}  // namespace plumbline::native
