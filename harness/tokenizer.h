// What the harness asks of a tokenizer. Both sides implement it from the files of the checkpoint.
#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/model.h"

namespace plumbline {

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON value, as text
};

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
  std::vector<ToolCall> tool_calls = {};  // the assistant's
};

struct ChatOptions {
  bool add_generation_prompt = false;
  std::vector<std::string> tools = {};  // a JSON value each, as text: what the assistant may call
};

enum class InvalidUtf8 {
  refuse,   // Error that names the byte offset
  replace,  // each maximal ill-formed part becomes one U+FFFD, as Rust's String::from_utf8_lossy has it
};

struct EncodeOptions {
  InvalidUtf8 invalid_utf8 = InvalidUtf8::refuse;
  // false: special tokens written in the text are text like any other (in Hugging Face's tokenizers,
  // encode_special_tokens = true). Added tokens that are not special are found in either case.
  bool parse_special = true;
};

// How a text became ids, by the four stages of Hugging Face's tokenizers. What a stage gives, joined, is the
// text that it was given, but for normalisation, and white space that an added token took (lstrip, rstrip),
// which is in the token's part.
struct EncodingStages {
  struct Part {
    std::string text;
    std::optional<TokenId> added;  // the added token that this part is
  };
  struct Piece {
    std::string text;
    std::vector<TokenId> ids;
  };
  std::vector<Part> cut;         // added tokens: the text as written, cut at those that are found in it so
  std::vector<Part> normalized;  // normalise: the rest in normal form, cut at those that are found in that
  std::vector<Piece> pieces;     // split: pieces of the pre-tokenizer and added tokens; merge: their ids
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  std::vector<TokenId> encode(std::string_view text) const { return encode(text, {}); }
  // Throws Error that names the byte offset for invalid UTF-8, unless it is to be replaced.
  virtual std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const = 0;
  // How many ids encode() gives.
  virtual std::int64_t count(std::string_view text, const EncodeOptions& options) const {
    return std::ssize(encode(text, options));
  }
  // The same ids, with the way to them. For explaining: slower, and larger than the text by far.
  virtual EncodingStages encode_in_stages(std::string_view text, const EncodeOptions& options) const = 0;
  // Bytes that are not valid UTF-8 become U+FFFD as Hugging Face does. Throws Error for an id out of range.
  virtual std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const = 0;
  // The raw bytes of one token (may end inside a UTF-8 character). Throws Error for an id out of range.
  virtual std::string token_bytes(TokenId id) const = 0;
  virtual bool is_special(TokenId id) const = 0;
  virtual std::int64_t size() const = 0;  // highest id + 1

  // ChatML, as Qwen2.5-Instruct renders it. The default system text is put in where the first message is not
  // the system's. Throws Error for a template that is not known, for no messages, for tools that are no JSON.
  virtual std::string render_chat(std::span<const ChatMessage> messages,
                                  const ChatOptions& options) const = 0;
  std::string render_chat(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
    return render_chat(messages, ChatOptions{.add_generation_prompt = add_generation_prompt});
  }
};

}  // namespace plumbline
