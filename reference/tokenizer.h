// The reference's tokenizer: a checkpoint's files taken at their word. Their own regular expression, run by
// PCRE2; NFC by ICU; merges by applying the lowest rank until none applies. Where those libraries' Unicode is
// not that of Hugging Face's tokenizers, reference/unicode_exclusions.h says so.
#pragma once

#include <filesystem>
#include <memory>

#include "harness/tokenizer.h"

namespace plumbline::reference {

// Reads tokenizer.json; without one, vocab.json and merges.txt, with pattern, NFC and added tokens as
// transformers' Qwen2Tokenizer takes them (tokenizer_config.json, special_tokens_map.json,
// added_tokens.json). Throws Error, naming file and part, for anything but byte-level BPE in Qwen2's form
// (NFC or no normalizer, one Split by a regex, ByteLevel), for added tokens whose ids are not those that
// Hugging Face's tokenizers gives them, and for two that have one normal form. Texts of 2 GiB and more are
// refused, and the few on which tokenizers itself fails (reference/internal/added_tokens.h).
//
// render_chat runs the checkpoint's own chat template (reference/internal/chat_template.h).
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

}  // namespace plumbline::reference
