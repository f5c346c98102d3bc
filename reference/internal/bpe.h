// Byte pair encoding: merges applied from the lowest rank up.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "harness/model.h"
#include "reference/internal/json_fields.h"

namespace plumbline::reference {

class Bpe {
 public:
  // `model` is tokenizer.json's. Throws Error for another kind of model, options that Qwen2's has not, an id
  // used twice, a missing byte symbol, or a merge whose result is no token.
  explicit Bpe(const JsonFields& model);

  // The ids of one piece, given in byte symbols.
  std::vector<TokenId> encode(std::string_view symbols) const;
  const std::unordered_map<std::string, TokenId>& vocab() const { return vocab_; }

 private:
  void read_vocab(const JsonFields& model);
  void read_merges(const JsonFields& model);

  std::unordered_map<std::string, TokenId> vocab_;
  std::unordered_map<std::string, std::size_t> ranks_;  // "left right" -> place in the list of merges
};

}  // namespace plumbline::reference
