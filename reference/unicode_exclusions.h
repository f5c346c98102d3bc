// Code points on which the reference's Unicode libraries and Hugging Face's tokenizers differ. Texts with one
// of them are no evidence about a tokenizer: whoever compares leaves them out, by name.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plumbline::reference {

enum class ExclusionKind {
  split,        // a letter, number or white space to one of them alone: other pieces
  normal_form,  // composed or reordered by one of them alone
  word          // \w to one of them alone: an added token with single_word may count or not beside it
};

struct ExcludedRange {
  char32_t first = 0;
  char32_t last = 0;
  ExclusionKind kind = ExclusionKind::split;
  std::string reason;  // "a letter to tokenizers 0.23.3 (Unicode 16.0), not to PCRE2 10.42 (Unicode 14.0.0)"
};

struct Exclusion {
  char32_t code_point = 0;
  std::size_t offset = 0;  // bytes
  ExclusionKind kind = ExclusionKind::split;
  std::string reason;  // "U+31350: a letter to …"
};

// All, by kind and code point: what the linked libraries answer, against what the pinned tokenizers was
// measured to answer (reference/unicode_truth.cpp). Made at the first call, in about half a second.
const std::vector<ExcludedRange>& exclusions();

// The first such code point of a text in UTF-8; none where the reference can be trusted. `single_word`: the
// tokenizer has added tokens with that flag.
std::optional<Exclusion> excluded(std::string_view text, bool single_word = false);

}  // namespace plumbline::reference
