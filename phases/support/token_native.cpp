#include "phases/support/token_native.h"

#include <string>
#include <vector>

#include <fmt/format.h>

#include "impl/generation/text_stream.h"
#include "impl/tokenizer.h"
#include "impl/unicode.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "phases/support/token_texts.h"

namespace plumbline::phases {
namespace {

// The text that ids give one by one; what is not whole characters is told instead.
std::string streamed(const std::vector<TokenId>& ids, bool skip_special_tokens) {
  native::TextStream stream(*native_tokenizer(), skip_special_tokens);
  std::string text;
  for (const TokenId id : ids) {
    const std::string grown = stream.push(id);
    if (native::find_invalid_utf8(grown) != std::string_view::npos)
      return fmt::format("half a character at id {}", id);
    text += grown;
  }
  return text + stream.finish();
}

// "text 3: …" for the first text that is not as expected; else as expected.
struct FirstDifference {
  std::string expected = "all alike";
  std::string actual = "all alike";
  void compare(std::size_t text, const std::string& wanted, const std::string& got) {
    if (wanted == got || actual != expected) return;
    expected = fmt::format("text {}: {}", text, wanted);
    actual = fmt::format("text {}: {}", text, got);
  }
};

std::string text_of(const std::vector<TokenId>& ids) {
  return fmt::format("{}", fmt::join(ids, " "));
}

void record_category(const TextCategory& category) {
  constexpr int kThreads = 3;
  FirstDifference counted, batched, decoded;
  const auto batch = native::encode_batch(*native_tokenizer(), category.texts, category.options, kThreads);
  for (std::size_t i = 0; i < category.texts.size(); ++i) {
    const std::vector<TokenId> ids = native_tokenizer()->encode(category.texts[i], category.options);
    const std::int64_t count = native_tokenizer()->count(category.texts[i], category.options);
    counted.compare(i, std::to_string(ids.size()), std::to_string(count));
    batched.compare(i, text_of(ids), text_of(batch[i]));
    for (const bool skip : {false, true}) {
      decoded.compare(i, native_tokenizer()->decode(ids, skip), streamed(ids, skip));
    }
  }
  record_equal("ids counted, native", category.name, counted.expected, counted.actual);
  record_equal("ids of a batch, native", category.name, batched.expected, batched.actual);
  record_equal("text token by token, native", category.name, decoded.expected, decoded.actual);
}

}  // namespace

void record_native_forms() {
  for (const char* case_id : {"2.1", "2.2", "2.3", "2.4"}) {
    for (const TextCategory& category : text_categories(case_id)) record_category(category);
  }
}

}  // namespace plumbline::phases
