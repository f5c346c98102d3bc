#include "impl/generation/text_stream.h"

#include <algorithm>
#include <utility>

#include "harness/error.h"
#include "impl/unicode.h"

namespace plumbline::native {
namespace {

// How many bytes a character has that begins with `lead`; 1 for bytes that begin none.
std::size_t character_length(unsigned char lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  return lead >= 0xF0 && lead <= 0xF4 ? 4 : 1;
}

// Whether `bytes`, fewer than their first asks for, can still become a valid character: some continuation
// makes them one. The second byte of E0, ED, F0 and F4 is narrower than others (RFC 3629, section 4).
bool can_become_character(std::string_view bytes) {
  std::string tried(bytes);
  const std::size_t whole = character_length(static_cast<unsigned char>(bytes.front()));
  if (bytes.size() >= whole) return false;
  const bool second_is_free = bytes.size() == 1;
  tried.resize(whole, '\x80');
  if (find_invalid_utf8(tried) == std::string_view::npos) return true;
  if (second_is_free) tried[1] = '\xA0';  // E0 A0 80, F0 A0 80 80
  return find_invalid_utf8(tried) == std::string_view::npos;
}

// How many bytes at the end are the beginning of a character.
std::size_t unfinished_tail(std::string_view bytes) {
  for (std::size_t tail = std::min<std::size_t>(3, bytes.size()); tail > 0; --tail) {
    if (can_become_character(bytes.substr(bytes.size() - tail))) return tail;
  }
  return 0;
}

// How many bytes at the end of `text` are the beginning of `string`, fewer than all of it.
std::size_t overlap(std::string_view text, std::string_view string) {
  for (std::size_t n = std::min(text.size(), string.size() - 1); n > 0; --n) {
    if (text.ends_with(string.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

std::string TextStream::push(TokenId token) {
  const std::string added = tokenizer_->token_bytes(token);
  if (skip_special_tokens_ && tokenizer_->is_special(token)) return {};
  bytes_ += added;
  const std::size_t whole = bytes_.size() - unfinished_tail(bytes_);
  std::string text = replace_invalid_utf8(std::string_view(bytes_).substr(0, whole));
  bytes_.erase(0, whole);
  return text;
}

std::string TextStream::finish() {
  return replace_invalid_utf8(std::exchange(bytes_, {}));
}

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (const std::string& each : strings_) require(!each.empty(), "an empty stop string");
}

std::string StopStrings::push(std::string_view text) {
  if (found_) return {};
  waiting_ += text;
  std::size_t first = std::string::npos;
  for (const std::string& each : strings_) {
    const std::size_t at = waiting_.find(each);
    if (at == std::string::npos || at > first) continue;
    if (at < first || each.size() > found_->size()) found_ = each;
    first = at;
  }
  if (found_) return std::exchange(waiting_, {}).substr(0, first);
  std::size_t held = 0;
  for (const std::string& each : strings_) held = std::max(held, overlap(waiting_, each));
  std::string out = waiting_.substr(0, waiting_.size() - held);
  waiting_.erase(0, out.size());
  return out;
}

std::string StopStrings::finish() {
  return found_ ? std::string() : std::exchange(waiting_, {});
}

}  // namespace plumbline::native
