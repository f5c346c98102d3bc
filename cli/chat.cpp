#include "cli/chat.h"

#include <unistd.h>

#include <iostream>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "harness/error.h"

namespace plumbline::cli {
namespace {

constexpr std::string_view kHelp =
    "/back        take the last turn and its answer back\n"
    "/more        go on with an answer that was cut short\n"
    "/save FILE   save the conversation\n"
    "/turns       list the turns\n"
    "/help        this list\n"
    "/quit        end (so does the end of input)\n"
    "Any other line is the user's turn; // begins one with a slash.\n";

native::GenerationHooks streaming() {
  native::GenerationHooks hooks;
  hooks.on_text = [](std::string_view text) { std::cout << text << std::flush; };
  hooks.interrupt = InterruptGuard::flag();
  return hooks;
}

void report(const native::ConversationOutput& output, const native::Conversation& conversation, bool timed) {
  std::cout << std::endl;
  if (output.evicted_turns > 0) {
    std::cerr << fmt::format(
        "plumbline: the {} oldest turns ({} tokens) went; {}\n", output.evicted_turns, output.evicted_tokens,
        output.exact ? "the rest was read again" : "the rest keeps what attended to them");
  }
  std::cerr << fmt::format(
      "plumbline: {} tokens, stopped by {}; {} of {} tokens of the prompt were in the cache, {} held\n",
      output.tokens.size(), stop_reason_name(output.stop), output.reused_tokens, output.prompt_tokens,
      conversation.context().length());
  if (timed) std::cerr << describe_timings(output);
}

void list_turns(const native::Conversation& conversation) {
  for (const native::Turn& each : conversation.turns())
    std::cout << each.message.role << ": " << each.message.content << '\n';
}

// A line that begins with a slash. False where it is the end.
bool obey(const std::string& line, native::Conversation& conversation, bool timed, native::StepSink* sink) {
  const std::string word = line.substr(0, line.find(' '));
  const std::string rest = word.size() == line.size() ? "" : line.substr(word.size() + 1);
  if (word == "/quit") return false;
  if (word == "/help") {
    std::cout << kHelp;
  } else if (word == "/back") {
    conversation.take_back();
  } else if (word == "/turns") {
    list_turns(conversation);
  } else if (word == "/more") {
    report(conversation.go_on(streaming(), sink), conversation, timed);
  } else if (word == "/save") {
    if (rest.empty()) throw Error("needs the name of a file", "/save", "as in /save talk.safetensors");
    conversation.save(rest);
    std::cerr << "plumbline: saved " << conversation.turns().size() << " turns to " << rest << '\n';
  } else {
    throw Error("is no command", word, "/help lists them; // begins a turn with a slash");
  }
  return true;
}

}  // namespace

std::string describe_timings(const native::GenerationOutput& output) {
  const native::GenerationTimings& t = output.timings;
  const auto decoded = static_cast<std::int64_t>(output.tokens.size()) - 1;
  const std::int64_t prefilled =
      output.processed_tokens - std::max<std::int64_t>(decoded + output.inserted_tokens, 0);
  const auto rate = [](std::int64_t tokens, double seconds) {
    return seconds > 0 && tokens > 0 ? fmt::format("{:.1f} tokens/s", static_cast<double>(tokens) / seconds)
                                     : std::string("no tokens");
  };
  return fmt::format(
      "plumbline: prefill {} tokens in {:.4f} s, {}; first token after {:.4f} s; decode {} tokens in {:.4f} "
      "s, {}; "
      "sampling {:.4f} s; in all {:.4f} s; cache {} bytes; peak memory {} MiB\n",
      prefilled, t.prefill, rate(prefilled, t.prefill), t.to_first_token, std::max<std::int64_t>(decoded, 0),
      t.decode, rate(decoded, t.decode), t.sampling, t.total, output.cache_bytes, output.peak_memory >> 20);
}

native::ConversationOutput say(native::Conversation& conversation, const std::string& text, bool timed,
                               native::StepSink* sink) {
  native::ConversationOutput output = conversation.say(text, streaming(), sink);
  report(output, conversation, timed);
  return output;
}

int converse(native::Conversation& conversation, bool timed, native::StepSink* sink) {
  const InterruptGuard guard;
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal) std::cerr << "plumbline: a turn for each line; /help lists commands, Ctrl-D ends\n";
  conversation.read_ahead(sink);  // the system prompt, while nobody waits for it
  LineReader lines;
  while (true) {
    InterruptGuard::clear();  // it ended an answer, no more
    if (terminal) std::cerr << "> " << std::flush;
    const std::optional<std::string> next = lines.next();
    if (!next) break;
    const std::string& line = *next;
    if (line.empty()) continue;
    try {
      const bool command = line[0] == '/' && !line.starts_with("//");
      if (command) {
        if (!obey(line, conversation, timed, sink)) break;
      } else {
        say(conversation, line[0] == '/' ? line.substr(1) : line, timed, sink);
      }
    } catch (const Error& problem) {
      std::cerr << "plumbline: " << problem.what() << '\n';
    }
    if (!std::cout) throw Error("cannot be written", "standard output", "is the disk full?");
  }
  if (terminal) std::cerr << '\n';
  return InterruptGuard::interrupted() ? kExitInterrupted : 0;
}

}  // namespace plumbline::cli
