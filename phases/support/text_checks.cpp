// Text as it grows: stop strings, and characters of several tokens.
#include <algorithm>

#include <fmt/format.h>

#include "phases/support/loop_checks.h"
#include "phases/support/loop_oracle.h"

namespace plumbline::phases {
namespace {

using Tokens = std::vector<TokenId>;
constexpr const char* kNoTokenizer = "the checkpoint has no tokenizer";

bool is_plain(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return c < 0x80; });
}

// Whole characters by the shape of their bytes, and none that stands for a broken one.
bool is_whole(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (std::size_t j = i + 1; j < i + length; ++j) {
      if ((static_cast<unsigned char>(text[j]) & 0xC0) != 0x80) return false;
    }
    i += length;
  }
  return text.find("\uFFFD") == std::string_view::npos;
}

// Across the border before piece `i`, and nowhere earlier in the text; empty where that cannot be.
std::string across(const std::vector<std::string>& pieces, std::size_t i) {
  if (!is_plain(pieces[i - 1]) || !is_plain(pieces[i])) return {};
  std::string before;
  for (std::size_t j = 0; j < i; ++j) before += pieces[j];
  const std::string text = before + pieces[i];
  const std::string stop{pieces[i - 1].back(), pieces[i].front()};
  return text.find(stop) == before.size() - 1 ? stop : std::string();
}

}  // namespace

std::vector<Check> check_stop_strings(const LoopKit& kit, const LoopPrompts& prompts) {
  const std::string what = "a stop string across two tokens stops before it";
  if (kit.tokenizer() == nullptr) return {check_skipped(what, kNoTokenizer)};
  SeenTokens seen;
  seen.keep_logits = false;
  native::GenerationRequest request = greedy_request(prompts.line, 2 * prompts.tokens);
  request.hooks = watch(seen);
  kit.generator(few_sequences(kit.engine()))->generate(request, nullptr);
  for (std::size_t i = seen.pieces.size(); i-- > 1;) {
    const std::string stop = across(seen.pieces, i);
    if (stop.empty()) continue;
    std::string before;
    for (std::size_t j = 0; j < i; ++j) before += seen.pieces[j];
    before.pop_back();
    request.hooks = {};
    std::string streamed;
    request.hooks.on_text = [&](std::string_view text) { streamed += text; };
    request.stop_strings = {"never in this text", stop};
    const auto output = kit.generator(few_sequences(kit.engine()))->generate(request, nullptr);
    const std::string expected = fmt::format("stop_string, {} tokens: {}", i + 1, before);
    return {check_equal(what, "'" + stop + "'", expected,
                        fmt::format("{}, {} tokens: {}", stop_reason_name(output.stop), output.tokens.size(),
                                    output.text)),
            check_equal("text streamed is the text", "with a stop string", output.text, streamed)};
  }
  return {check_skipped(what, "greedy text has no place for one")};
}

// Tokens of several bytes each are forced, whatever the model chooses.
std::vector<Check> check_streaming(const LoopKit& kit, const LoopPrompts& prompts) {
  const std::string what = "text is streamed in whole characters";
  if (kit.tokenizer() == nullptr) return {check_skipped(what, kNoTokenizer)};
  const std::string wanted = "né 🦉𓀀 –";
  const Tokens tokens = kit.tokenizer()->encode(wanted);
  native::GenerationRequest request = greedy_request(prompts.line, static_cast<std::int64_t>(tokens.size()));
  std::string streamed;
  bool whole = true;
  request.hooks.on_text = [&](std::string_view text) {
    whole = whole && is_whole(text);
    streamed += text;
  };
  request.hooks.on_token = [&](const native::TokenEvent& event) {
    return native::TokenAction{.force = tokens.at(static_cast<std::size_t>(event.index))};
  };
  const auto output = kit.generator(few_sequences(kit.engine()))->generate(request, nullptr);
  return {check_equal(what, fmt::format("{} tokens", tokens.size()), "whole characters: " + wanted,
                      (whole ? "whole characters: " : "broken characters: ") + streamed),
          check_equal("text streamed is the text", "forced", wanted, output.text)};
}

}  // namespace plumbline::phases
