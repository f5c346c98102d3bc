// The stages of the third tokenizer: the native side's parts, with one mistake at a time.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "harness/tokenizer.h"
#include "impl/tokenization/bpe.h"
#include "impl/tokenization/regex_split.h"
#include "impl/tokenization/tokenizer_file.h"
#include "impl/tokenization/vocabulary.h"
#include "tests/mutants/token_mistakes.h"

namespace plumbline::mutants {

// Of valid UTF-8, as a file with the normalizer NFC wants it but for the mistake.
std::string normalize(std::string_view text, TokenMistake planted);

// Qwen2's pattern but for the mistake.
class PlantedSplit {
 public:
  explicit PlantedSplit(TokenMistake planted);
  std::vector<std::string> operator()(std::string_view text) const;

 private:
  TokenMistake planted_;
  std::unique_ptr<const native::RegexSplit> regex_;  // null: the native side's scanner
};

class PlantedMerges {
 public:
  PlantedMerges(const native::TokenizerFile& file, TokenMistake planted);
  std::vector<TokenId> operator()(std::string_view piece) const;

 private:
  std::vector<TokenId> by_choice(std::string_view piece) const;
  std::vector<TokenId> by_prefix(std::string_view piece) const;

  TokenMistake planted_;
  native::Vocabulary vocabulary_;
  std::array<TokenId, 256> bytes_{};
  std::unordered_map<std::string, TokenId> ids_;  // by bytes
  native::MergeTable table_;
  std::unique_ptr<const native::BytePairEncoder> encoder_;
};

// What a chat becomes with the mistake; `right` renders it rightly.
std::string render_chat(const Tokenizer& right, std::span<const ChatMessage> messages,
                        const ChatOptions& options, TokenMistake planted);

}  // namespace plumbline::mutants
