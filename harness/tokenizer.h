// What the harness asks of a tokenizer. Both sides implement it from the files of the checkpoint.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/model.h"

namespace plumbline {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Special tokens written in the text become their ids. Throws Error that names the byte offset for invalid
  // UTF-8.
  virtual std::vector<TokenId> encode(std::string_view text) const = 0;
  // Bytes that are not valid UTF-8 become U+FFFD as Hugging Face does. Throws Error for an id out of range.
  virtual std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const = 0;
  // The raw bytes of one token (may end inside a UTF-8 character). Throws Error for an id out of range.
  virtual std::string token_bytes(TokenId id) const = 0;
  virtual bool is_special(TokenId id) const = 0;
  virtual std::int64_t size() const = 0;  // highest id + 1
  // ChatML, as Qwen2.5-Instruct renders it, without tools. The default system text is put in where the
  // first message is not the system's.
  virtual std::string render_chat(std::span<const ChatMessage> messages,
                                  bool add_generation_prompt) const = 0;
};

}  // namespace plumbline
