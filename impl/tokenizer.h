// Qwen2's tokenizer, read from a checkpoint's files: added tokens, NFC, the pre-tokenizer, byte-level
// byte-pair encoding.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/tokenizer.h"

namespace plumbline::native {

// The longest text that a tokenizer takes, in bytes: 2 GiB - 1.
inline constexpr std::size_t kLongestText = 0x7FFFFFFF;

// Reads directory/tokenizer.json, or vocab.json and merges.txt where there is none; for chats the template in
// tokenizer_config.json or chat_template.jinja: where there is none, or one that is not known, render_chat()
// throws Error. Ids from the tokenizer's size to config.json's vocab_size (rows that pad the embedding) are
// in range and decode to nothing, as in Hugging Face's tokenizers. A pre-tokenizer's pattern that is not
// Qwen2's is run by a regex engine. Throws Error for a tokenizer of any other form, naming what differs.
//
// The tokenizer may be used by several threads at once.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

// encode() of each text, by `threads` of them at a time, at least 1. Throws what encode() throws for the
// first text that it throws for, with the text's number, from 0.
std::vector<std::vector<TokenId>> encode_batch(const Tokenizer& tokenizer, std::span<const std::string> texts,
                                               const EncodeOptions& options, int threads);

}  // namespace plumbline::native
