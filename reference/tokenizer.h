// The reference's tokenizer: tokenizer.json taken at its word. Its own regular expression, run by a regex
// library; NFC by a Unicode library; merges by applying the lowest rank until none applies.
#pragma once

#include <filesystem>
#include <memory>

#include "harness/tokenizer.h"

namespace plumbline::reference {

// Reads tokenizer.json, and the chat template of tokenizer_config.json or chat_template.jinja. Throws Error,
// naming the part, for anything but byte-level BPE in Qwen2's form: NFC or no normalizer, one Split by a
// regex, ByteLevel.
//
// render_chat knows templates of ChatML alone (they contain "<|im_start|>") and throws Error for others, for
// an empty conversation, and for roles beside system, user and assistant. The default system text is what the
// template holds between "<|im_start|>system\n" and the next "<|im_end|>", at the first place where that is
// not empty and contains no quote; it is put in where the first message is not the system's. Without such a
// place there is none.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

}  // namespace plumbline::reference
