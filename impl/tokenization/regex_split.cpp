#include "impl/tokenization/regex_split.h"

#include <array>
#include <optional>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/unicode.h"

namespace plumbline::native {
namespace {

constexpr char32_t kCodePoints = 0x110000;

// The members of a class, or all others, as what stands between the brackets of a regular expression.
std::string ranges_of(CharClass kind, bool negated) {
  std::string out;
  const auto is_member = [&](char32_t c) {
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    return c < kCodePoints && !surrogate && (char_class(c) == kind) != negated;
  };
  for (char32_t first = 0; first < kCodePoints; ++first) {
    if (!is_member(first)) continue;
    char32_t last = first;
    while (is_member(last + 1)) ++last;
    out += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<unsigned>(first), static_cast<unsigned>(last));
    first = last;
  }
  return out;
}

struct KnownClass {
  std::string_view written;
  CharClass kind;
  bool negated;
};
constexpr std::array<KnownClass, 6> kKnownClasses{{{"\\p{L}", CharClass::letter, false},
                                                   {"\\P{L}", CharClass::letter, true},
                                                   {"\\p{N}", CharClass::number, false},
                                                   {"\\P{N}", CharClass::number, true},
                                                   {"\\s", CharClass::space, false},
                                                   {"\\S", CharClass::space, true}}};

// \p{Lu}, \d, …: the same everywhere, for characters that an engine knows.
bool is_category(char escape) {
  return std::string_view("pPdD").find(escape) != std::string_view::npos;
}

// Where Oniguruma, which the tokenizers library uses, and PCRE2 mean different things.
bool is_ambiguous(char escape) {
  return std::string_view("wWbBhHvVRXNKGOyYQEC").find(escape) != std::string_view::npos;
}

struct Rewritten {
  std::string pattern;
  bool categories = false;  // some are left to PCRE2
};

Rewritten write_classes_out(std::string_view pattern, const std::string& where) {
  const auto refuse = [&](std::string_view part) {
    throw Error(
        fmt::format("the pre-tokenizer's pattern holds '{}', which regex engines take differently", part),
        where);
  };
  Rewritten out;
  bool in_brackets = false;
  for (std::size_t i = 0; i < pattern.size();) {
    const auto* known = kKnownClasses.begin();
    while (known != kKnownClasses.end() && !pattern.substr(i).starts_with(known->written)) ++known;
    if (known != kKnownClasses.end()) {
      const std::string ranges = ranges_of(known->kind, known->negated);
      out.pattern += in_brackets ? ranges : "[" + ranges + "]";
      i += known->written.size();
      continue;
    }
    const std::size_t length = pattern[i] == '\\' && i + 1 < pattern.size() ? 2 : 1;
    if (length == 2 && is_ambiguous(pattern[i + 1])) refuse(pattern.substr(i, length));
    if (length == 2) out.categories = out.categories || is_category(pattern[i + 1]);
    if (length == 1 && pattern[i] == '[') {
      if (in_brackets) refuse("[…[");  // a set within a set to the one, a character to the other
      in_brackets = true;
    }
    if (in_brackets && pattern.substr(i).starts_with("&&")) refuse("&&");
    if (length == 1 && pattern[i] == ']') in_brackets = false;
    out.pattern += pattern.substr(i, length);
    i += length;
  }
  return out;
}

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

PCRE2_SPTR bytes_of(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

}  // namespace

struct RegexSplit::Compiled {
  struct Match {
    std::size_t begin;
    std::size_t end;
  };

  Compiled(const std::string& pattern, const std::string& where) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code = pcre2_compile(bytes_of(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    if (code == nullptr) {
      throw Error("the pre-tokenizer's pattern does not compile: " + pcre2_message(error), where);
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // only speed: without it, pcre2_match interprets
  }
  ~Compiled() { pcre2_code_free(code); }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;

  // The first match from `from` on.
  std::optional<Match> find(std::string_view text, std::size_t from, const std::string& where) const {
    struct Free {
      void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    };
    const std::unique_ptr<pcre2_match_data, Free> data(pcre2_match_data_create_from_pattern(code, nullptr));
    const int found =
        pcre2_match(code, bytes_of(text), text.size(), from, PCRE2_NO_UTF_CHECK, data.get(), nullptr);
    if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (found < 0) {
      throw Error("the pre-tokenizer's pattern gives up on this text: " + pcre2_message(found), where);
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    return Match{range[0], range[1]};
  }

  pcre2_code* code = nullptr;
};

RegexSplit::RegexSplit(const std::string& pattern, const std::string& where) : where_(where) {
  const Rewritten rewritten = write_classes_out(pattern, where);
  pattern_ = std::make_unique<const Compiled>(rewritten.pattern, where);
  if (rewritten.categories) unknown_ = std::make_unique<const Compiled>("\\p{Cn}", where);
}

RegexSplit::~RegexSplit() = default;

std::vector<std::string_view> RegexSplit::pieces(std::string_view text) const {
  for (std::size_t from = 0; unknown_ != nullptr && from < text.size();) {
    const auto match = unknown_->find(text, from, where_);
    if (!match) break;
    std::size_t at = match->begin;
    const char32_t c = next_code_point(text, at);
    if (char_class(c) != CharClass::other || is_word(c)) {
      throw Error(
          fmt::format("U+{:04X} at byte offset {} is newer than the Unicode of PCRE2, which cuts this text",
                      static_cast<unsigned>(c), match->begin),
          "text", "the checkpoint's pre-tokenizer is not Qwen2's");
    }
    from = at;
  }
  std::vector<std::string_view> pieces;
  std::size_t cut = 0;  // everything before is in a piece
  for (std::size_t from = 0; from < text.size();) {
    const auto match = pattern_->find(text, from, where_);
    if (!match) break;
    if (match->end == match->begin) {  // an empty match cuts nothing: go on behind the next character
      from = match->end;
      if (from < text.size()) next_code_point(text, from);
      continue;
    }
    if (match->begin > cut) pieces.push_back(text.substr(cut, match->begin - cut));
    pieces.push_back(text.substr(match->begin, match->end - match->begin));
    cut = from = match->end;
  }
  if (cut < text.size()) pieces.push_back(text.substr(cut));
  return pieces;
}

}  // namespace plumbline::native
