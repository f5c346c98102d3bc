#include "reference/internal/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

#include "harness/error.h"

namespace plumbline::reference {
namespace {

// PCRE2's \s also holds U+180E, which Unicode took out of White_Space in version 6.3.
std::string with_white_space_property(const std::string& pattern) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char next = pattern[++i];
    if (next == 's') {
      out += "\\p{White_Space}";
    } else if (next == 'S') {
      out += "\\P{White_Space}";
    } else {
      out += {'\\', next};
    }
  }
  return out;
}

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

PCRE2_SPTR bytes_of(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

struct Free {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

// A thread's own stack for compiled patterns: the 32 KiB that PCRE2 has without it do not last for a group
// that repeats over a long text. (Qwen2's pattern has none.)
pcre2_match_context* match_context() {
  constexpr std::size_t kFirst = std::size_t{1} << 16;
  constexpr std::size_t kMost = std::size_t{1} << 28;
  thread_local const std::unique_ptr<pcre2_jit_stack, Free> stack(
      pcre2_jit_stack_create(kFirst, kMost, nullptr));
  thread_local const std::unique_ptr<pcre2_match_context, Free> context = [] {
    std::unique_ptr<pcre2_match_context, Free> made(pcre2_match_context_create(nullptr));
    if (made != nullptr) pcre2_jit_stack_assign(made.get(), nullptr, stack.get());
    return made;
  }();
  return context.get();
}

std::string pcre2_setting(std::uint32_t what) {
  char text[64] = {};
  pcre2_config(what, text);
  return text;
}

}  // namespace

std::string regex_library() {
  const std::string version = pcre2_setting(PCRE2_CONFIG_VERSION);  // "10.42 2022-12-11"
  return "PCRE2 " + version.substr(0, version.find(' ')) + " (Unicode " +
         pcre2_setting(PCRE2_CONFIG_UNICODE_VERSION) + ")";
}

struct RegexSplit::Compiled {
  pcre2_code* code = nullptr;
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() { pcre2_code_free(code); }
};

RegexSplit::RegexSplit(const std::string& pattern, const std::string& where) {
  const std::string text = with_white_space_property(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->code =
      pcre2_compile(bytes_of(text), text.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  if (compiled->code == nullptr)
    throw Error("its regular expression does not compile, at character " + std::to_string(offset), where,
                pcre2_message(error));
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);  // where there is no JIT, PCRE2 interprets
  compiled_ = std::move(compiled);
}

std::vector<std::string_view> RegexSplit::operator()(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, Free> match(
      pcre2_match_data_create_from_pattern(compiled_->code, nullptr));
  std::vector<std::string_view> pieces;
  std::size_t cut = 0;   // everything before is in a piece
  std::size_t from = 0;  // where the search goes on
  while (from < text.size()) {
    const int found = pcre2_match(compiled_->code, bytes_of(text), text.size(), from, PCRE2_NO_UTF_CHECK,
                                  match.get(), match_context());
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      throw Error("PCRE2 gave up on this text, " + std::to_string(from) + " bytes into a part of " +
                      std::to_string(text.size()),
                  "tokenizer's regular expression", pcre2_message(found));
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
    if (range[1] == range[0]) {  // an empty match cuts nothing; step over one character
      from = range[1] + 1;
      while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
      continue;
    }
    if (range[0] > cut) pieces.push_back(text.substr(cut, range[0] - cut));
    pieces.push_back(text.substr(range[0], range[1] - range[0]));
    cut = from = range[1];
  }
  if (cut < text.size()) pieces.push_back(text.substr(cut));
  return pieces;
}

std::string nfc(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(status);
  std::string normalized;
  icu::StringByteSink<std::string> sink(&normalized);
  if (U_SUCCESS(status)) {
    const auto length = static_cast<std::int32_t>(text.size());
    require(length >= 0 && static_cast<std::size_t>(length) == text.size(), "nfc: text beyond 2 GiB");
    form->normalizeUTF8(0, icu::StringPiece(text.data(), length), sink, nullptr, status);
  }
  if (U_FAILURE(status)) throw Error("cannot normalize text", "ICU", u_errorName(status));
  return normalized;
}

}  // namespace plumbline::reference
