#include "phases/support/loop_oracle.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/error.h"
#include "harness/report_text.h"

namespace plumbline::phases {
namespace {

constexpr std::size_t kReadable = 60;  // characters of a text from before its first difference on
constexpr std::int64_t kChunk = 512;   // tokens of one call whose logits nobody wants

std::string excerpt(std::string_view text, std::size_t at) {
  const std::size_t begin = std::min(at > kReadable / 2 ? at - kReadable / 2 : 0, text.size());
  return one_line(text.substr(begin, kReadable));
}

std::int64_t largest(std::span<const float> row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

}  // namespace

native::GenerationHooks watch(SeenTokens& seen) {
  native::GenerationHooks hooks;
  hooks.on_token = [&seen](const native::TokenEvent& event) {
    seen.tokens.push_back(event.token);
    seen.pieces.emplace_back(event.text);
    if (seen.keep_logits) seen.logits.insert(seen.logits.end(), event.logits.begin(), event.logits.end());
    return native::TokenAction{};
  };
  return hooks;
}

void StepLog::begin(std::span<const SequenceStep> steps) {
  const auto heads = static_cast<double>(engine_.config().num_attention_heads);
  for (const SequenceStep& step : steps) {
    for (std::size_t i = 0; i < step.tokens.size(); ++i)
      fed_.push_back({step.sequence, step.tokens[i], step.positions[i]});
    const auto queries = static_cast<double>(step.tokens.size());
    attention_bytes_ += heads * queries * static_cast<double>(step.positions.back() + 1) * 4;
  }
}

std::vector<TokenId> StepLog::tokens() const {
  std::vector<TokenId> list;
  for (const Fed& each : fed_) list.push_back(each.token);
  return list;
}

std::vector<std::int64_t> StepLog::positions() const {
  std::vector<std::int64_t> list;
  for (const Fed& each : fed_) list.push_back(each.position);
  return list;
}

Tensor whole_text_logits(Engine& engine, std::span<const TokenId> tokens, std::int64_t first,
                         ProbeSink* sink) {
  const auto length = static_cast<std::int64_t>(tokens.size()) - 1;
  require(first >= 0 && first < length, "whole_text_logits: nothing is wanted");
  const std::unique_ptr<Cache> cache = engine.make_cache({.dtype = engine.info().storage});
  NullSink nothing;
  std::vector<std::int64_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const auto step = [&](std::int64_t from, std::int64_t to, LogitsWanted wanted) {
    const auto begin = static_cast<std::size_t>(from), count = static_cast<std::size_t>(to - from);
    return SequenceStep{0, tokens.subspan(begin, count), std::span(positions).subspan(begin, count), wanted};
  };
  for (std::int64_t from = 0; from < first; from += kChunk) {
    const SequenceStep before = step(from, std::min(first, from + kChunk), LogitsWanted::none);
    engine.forward({&before, 1}, *cache, sink == nullptr ? nothing : *sink);
  }
  const SequenceStep rest = step(first, length, LogitsWanted::all);
  const Logits logits = engine.forward({&rest, 1}, *cache, sink == nullptr ? nothing : *sink);
  return engine.to_host(logits.steps.at(0));
}

Check check_equal(std::string what, std::string subject, std::string_view expected, std::string_view actual) {
  const bool equal = expected == actual;
  Check check;
  check.what = std::move(what);
  check.subject = std::move(subject);
  check.metric = "mismatches";
  check.measured = equal ? 0 : 1;
  check.share = equal ? 0 : std::numeric_limits<double>::infinity();
  check.smallest_gate = check.measured;
  check.verdict = equal ? Verdict::passed : Verdict::failed;
  if (!equal) {
    const auto at = static_cast<std::size_t>(std::ranges::mismatch(expected, actual).in1 - expected.begin());
    check.note = fmt::format("expected '{}', got '{}', first difference at byte {}", excerpt(expected, at),
                             excerpt(actual, at), at);
  }
  return check;
}

Check check_whole(std::string what, std::string subject, Engine& engine, std::span<const TokenId> text,
                  const SeenTokens& seen) {
  const auto vocab = engine.config().vocab_size;
  const auto count = static_cast<std::int64_t>(seen.tokens.size());
  const std::int64_t first = static_cast<std::int64_t>(text.size()) - count - 1;
  if (count == 0 || first < 0 || !std::ranges::equal(text.last(seen.tokens.size()), seen.tokens))
    return check_equal(std::move(what), std::move(subject), "a text that ends with the answer",
                       fmt::format("{} tokens, answer {}", text.size(), ids_text(seen.tokens)));
  const Tensor expected = whole_text_logits(engine, text, first);
  const Tensor shown = Tensor::from<float>(DType::f32, {count, vocab}, seen.logits);
  Check check = check_bits(std::move(what), std::move(subject), shown, expected);
  for (std::int64_t i = 0; i < count && check.verdict == Verdict::passed; ++i) {
    const auto at = static_cast<std::size_t>(i * vocab), size = static_cast<std::size_t>(vocab);
    const std::int64_t best = largest(std::span(seen.logits).subspan(at, size));
    if (best == seen.tokens[static_cast<std::size_t>(i)]) continue;
    return check_equal(check.what, check.subject, std::to_string(best),
                       std::to_string(seen.tokens[static_cast<std::size_t>(i)]));
  }
  return check;
}

Check check_bits(std::string what, std::string subject, const Tensor& actual, const Tensor& expected) {
  const bool same = actual.shape() == expected.shape() && actual.dtype() == expected.dtype() &&
                    !actual.empty() && std::ranges::equal(actual.bytes(), expected.bytes());
  if (!same) return check_same_bits(std::move(what), std::move(subject), actual.view(), expected.view());
  Check check = check_equal(std::move(what), std::move(subject), "", "");
  check.metric = "elements of other bits";
  return check;
}

std::string ids_text(std::span<const TokenId> ids) {
  return fmt::format("{}", fmt::join(ids, " "));
}

}  // namespace plumbline::phases
