// A checkpoint's chat format in pieces: what stands before, around and after one message, so that a
// conversation grows without its beginning being rendered, and tokenized, again.
#pragma once

#include <string>
#include <vector>

#include "harness/tokenizer.h"

namespace plumbline::native {

// Found by rendering: pieces that are joined give what Tokenizer::render_chat gives for all messages at once.
// The joints are special tokens in ChatML, so tokens may be joined too.
class ChatFormat {
 public:
  // Throws Error where the checkpoint has no chat format, or one whose messages do not stand by themselves.
  explicit ChatFormat(const Tokenizer& tokenizer);

  // What stands before the first message where no system text is given; may be empty.
  const std::string& default_opening() const { return default_opening_; }
  // Each message is a turn of its own, a tool's result too. Throws Error for tool calls, which are part of an
  // answer's text here, and for a role that the format leaves out.
  std::string message(const ChatMessage& message) const;
  const std::string& answer_begin() const { return answer_begin_; }
  const std::string& answer_end() const { return answer_end_; }

 private:
  const Tokenizer* tokenizer_;
  std::string default_opening_, answer_begin_, answer_end_;
};

}  // namespace plumbline::native
