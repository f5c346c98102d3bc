// Any bytes through both sides' tokenizers over tiny's vocabulary: the same ids, the same refusals, and
// decoded to the same text. The first byte says how they are encoded.
#include <cctype>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "impl/tokenizer.h"
#include "impl/unicode.h"
#include "reference/tokenizer.h"
#include "reference/unicode_exclusions.h"
#include "tests/fuzz/support.h"

namespace {

using namespace plumbline;

struct Sides {
  std::filesystem::path model = std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / "models" / "tiny";
  std::unique_ptr<Tokenizer> native = native::load_tokenizer(model);
  std::unique_ptr<Tokenizer> reference = reference::load_tokenizer(model);
};

[[noreturn]] void differ(const char* what, std::string_view text) {
  std::cerr << "the sides differ: " << what << ", " << text.size() << " bytes\n";
  std::abort();
}

// The number behind "byte offset", of a refusal; empty for other errors.
std::string offset_of(const Error& error) {
  constexpr std::string_view kName = "byte offset ";
  const std::string text = error.what();
  const std::size_t at = text.find(kName);
  if (at == std::string::npos) return {};
  std::size_t end = at + kName.size();
  while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])) != 0) ++end;
  return text.substr(at + kName.size(), end - at - kName.size());
}

struct Answer {
  std::vector<TokenId> ids;
  std::string refused_at;
  bool operator==(const Answer&) const = default;
};
Answer encoded(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options) {
  try {
    return {tokenizer.encode(text, options), {}};
  } catch (const Error& error) {
    return {{}, offset_of(error)};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Sides sides;
  if (size == 0) return 0;
  const EncodeOptions options{.invalid_utf8 = (data[0] & 1) != 0 ? InvalidUtf8::replace : InvalidUtf8::refuse,
                              .parse_special = (data[0] & 2) == 0};
  const std::string_view text = fuzz::text_of(data + 1, size - 1);
  const Answer native = encoded(*sides.native, text, options),
               reference = encoded(*sides.reference, text, options);
  if (native.refused_at != reference.refused_at) differ("refusal", text);
  if (sides.native->decode(native.ids, false) != sides.reference->decode(native.ids, false))
    differ("decoded", text);
  if (sides.native->decode(native.ids, true) != sides.reference->decode(native.ids, true))
    differ("skipped", text);
  if (!native.refused_at.empty()) return 0;
  if (sides.native->count(text, options) != static_cast<std::int64_t>(native.ids.size()))
    differ("count", text);
  // Where the reference's Unicode is another, ids may differ.
  const bool judged = !reference::excluded(native::replace_invalid_utf8(text));
  if (judged && native != reference) differ("ids", text);
  return 0;
}
