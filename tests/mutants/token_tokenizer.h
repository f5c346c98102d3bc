// A third tokenizer: the native side's parts put together once more, with mistakes that can be planted.
#pragma once

#include <memory>

#include "harness/tokenizer.h"
#include "impl/tokenization/tokenizer_file.h"
#include "tests/mutants/token_mistakes.h"

namespace plumbline::mutants {

// `right`, of the same file, is asked for what no mistake touches; it must outlive this.
std::unique_ptr<Tokenizer> make_planted_tokenizer(const native::TokenizerFile& file, const Tokenizer& right,
                                                  TokenMistake planted);

}  // namespace plumbline::mutants
