// Qwen2's tokenizer, read from a checkpoint's tokenizer.json: added tokens, NFC, Qwen2's pre-tokenizer,
// byte-level byte-pair encoding.
#pragma once

#include <filesystem>
#include <memory>

#include "harness/tokenizer.h"

namespace plumbline::native {

// Reads directory/tokenizer.json, and for chats the template in tokenizer_config.json or chat_template.jinja;
// where there is none, or one that is not ChatML, render_chat() throws Error. Ids from the tokenizer's size
// to config.json's vocab_size (rows that pad the embedding) are in range and decode to nothing, as in Hugging
// Face's tokenizers. Throws Error for a tokenizer of any other form, naming what differs.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

}  // namespace plumbline::native
