// tiny's tokenizer with other added tokens, and what Hugging Face's tokenizers made of texts with them:
// fixtures/goldens/tokenizer_flags.json.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "harness/tokenizer.h"
#include "impl/tokenization/tokenizer_file.h"
#include "phases/support/token_texts.h"

namespace plumbline::mutants {

struct AddedTokenVariant {
  native::TokenizerFile file;
  std::unique_ptr<Tokenizer> native, reference;
  std::vector<phases::TextCategory> categories;  // as they are, and with special tokens read as text
};
std::vector<AddedTokenVariant> read_added_token_variants(const std::filesystem::path& fixtures);

}  // namespace plumbline::mutants
