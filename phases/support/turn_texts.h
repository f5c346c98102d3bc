// ChatML written out: what stands around the turns of a conversation, in tokens. The checks have their own,
// so that a loop's chat format is held against something.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tokenizer.h"

namespace plumbline::phases {

inline constexpr const char* kNoChat = "the checkpoint has no tokenizer with ChatML's special tokens";

class ChatTexts {
 public:
  // nullopt where there is no tokenizer, or its ChatML tokens are not single ones. It must outlive this.
  static std::optional<ChatTexts> of(const Tokenizer* tokenizer);

  TokenId end() const { return end_; }  // <|im_end|>
  std::vector<TokenId> system(std::string_view text) const;
  std::vector<TokenId> user(std::string_view text) const;  // and what begins the answer
  // What stands behind an answer, which may have ended with its end token.
  void close(std::vector<TokenId>& tokens) const;
  static void append(std::vector<TokenId>& tokens, const std::vector<TokenId>& more);

 private:
  ChatTexts(const Tokenizer& tokenizer, TokenId end) : tokenizer_(&tokenizer), end_(end) {}
  const Tokenizer* tokenizer_;
  TokenId end_;
};

}  // namespace plumbline::phases
