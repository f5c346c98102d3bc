// The third loop's text, as it grows.
#include <algorithm>

#include "tests/mutants/plain_generator.h"

namespace plumbline::mutants {
namespace {

using M = LoopMistake;

// How many of the last bytes may be the beginning of one of these.
std::size_t may_begin(const std::string& text, const std::vector<std::string>& stops) {
  std::size_t longest = 0;
  for (const std::string& stop : stops) {
    for (std::size_t n = std::min(stop.size() - 1, text.size()); n > longest; --n) {
      if (text.ends_with(stop.substr(0, n))) longest = n;
    }
  }
  return longest;
}

}  // namespace

void PlainGenerator::emit(PlainRow& row, const std::string& text) const {
  if (text.empty()) return;
  row.output.text += text;
  if (row.request->hooks.on_text) row.request->hooks.on_text(text);
}

void PlainGenerator::say(PlainRow& row, TokenId token) const {
  if (store_->tokenizer == nullptr) return;
  const bool skip = row.request->skip_special_tokens;
  const auto& stops = row.request->stop_strings;
  if (is(M::text_token_by_token)) return emit(row, store_->tokenizer->decode({&token, 1}, skip));
  // All the text there is, but for a character that is not whole: what of it is new.
  std::string now = store_->tokenizer->decode(row.output.tokens, skip);
  while (now.ends_with("\uFFFD")) now.resize(now.size() - 3);
  const std::string said = row.output.text + row.waiting;
  const std::string fresh = now.size() > said.size() ? now.substr(said.size()) : std::string();
  std::string text = row.waiting + fresh;
  row.waiting.clear();
  const std::string& searched = is(M::stop_string_within_tokens_alone) ? fresh : text;
  for (const std::string& stop : stops) {
    const std::size_t at = searched.find(stop);
    if (at == std::string::npos) continue;
    emit(row, searched.substr(0, at));
    row.output.stop_string = stop;
    row.active = false;
    row.output.stop = StopReason::stop_string;
    return;
  }
  const std::size_t waits = may_begin(text, stops);
  row.waiting = text.substr(text.size() - waits);
  text.resize(text.size() - waits);
  emit(row, text);
}

void PlainGenerator::finish(PlainRow& row, StopReason reason) const {
  row.active = false;
  row.output.stop = reason;
  if (store_->tokenizer == nullptr || is(M::text_token_by_token)) return;
  const std::string whole = store_->tokenizer->decode(row.output.tokens, row.request->skip_special_tokens);
  if (whole.size() > row.output.text.size()) emit(row, whole.substr(row.output.text.size()));
}

}  // namespace plumbline::mutants
