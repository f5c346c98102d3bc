// A conversation on the command line: one turn, or a turn for each line of input.
#pragma once

#include <string>

#include "harness/verdict.h"
#include "impl/generation/conversation.h"

namespace plumbline::cli {

inline constexpr int kExitInterrupted = 130;  // 128 + SIGINT

// Of --timed: "prefill 12 tokens, 310 tokens/s; …".
std::string describe_timings(const native::GenerationOutput& output);

// Says `text` and prints the answer as it comes; under an InterruptGuard, Ctrl-C ends it. `sink` may be null.
native::ConversationOutput say(native::Conversation& conversation, const std::string& text, bool timed,
                               native::StepSink* sink);

// Reads turns from standard input until it ends, or /quit. Ctrl-C ends an answer, or, between two, the
// conversation. What cannot be answered is told in one line, and the next line is read. /help lists the
// commands.
int converse(native::Conversation& conversation, bool timed, native::StepSink* sink);

}  // namespace plumbline::cli
