#include "phases/support/turn_texts.h"

#include <fmt/format.h>

namespace plumbline::phases {

std::optional<ChatTexts> ChatTexts::of(const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return std::nullopt;
  const std::vector<TokenId> begin = tokenizer->encode("<|im_start|>"), end = tokenizer->encode("<|im_end|>");
  if (begin.size() != 1 || end.size() != 1) return std::nullopt;
  return ChatTexts(*tokenizer, end.front());
}

std::vector<TokenId> ChatTexts::system(std::string_view text) const {
  return tokenizer_->encode(fmt::format("<|im_start|>system\n{}<|im_end|>\n", text));
}

std::vector<TokenId> ChatTexts::user(std::string_view text) const {
  return tokenizer_->encode(fmt::format("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", text));
}

void ChatTexts::close(std::vector<TokenId>& tokens) const {
  append(tokens, tokenizer_->encode(!tokens.empty() && tokens.back() == end_ ? "\n" : "<|im_end|>\n"));
}

void ChatTexts::append(std::vector<TokenId>& tokens, const std::vector<TokenId>& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

}  // namespace plumbline::phases
