// Texts through both tokenizers and against goldens, counted by category, with the first mismatch of each
// pair of sides.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tokenizer.h"
#include "phases/support/token_texts.h"

namespace plumbline::phases {

// What a side gave: the ids of a text, or the text of ids. Two that refused are equal, whatever they said.
struct Answer {
  std::vector<TokenId> ids = {};
  std::string text = {};  // or why it refused
  bool refused = false;
  bool operator==(const Answer& other) const;
};
Answer encode_with(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options = {});
Answer decode_with(const Tokenizer& tokenizer, std::span<const TokenId> ids, bool skip_special_tokens);

// The pairs that are compared: who is judged, and by whom. In the order in which they are told: where there
// are goldens, they say which side is wrong.
// native_itself: the native side's ids of a whole beside those of its parts. stages: those of native and
// reference; where no merge crosses them, other pieces show in no id.
enum class SidePair { native_golden, native_reference, reference_golden, native_itself, stages };
inline constexpr std::array kSidePairs{SidePair::native_golden, SidePair::reference_golden,
                                       SidePair::native_reference, SidePair::stages, SidePair::native_itself};

// What was asked, of one text or list of ids, and what came back.
struct Question {
  std::string text = {};  // to encode
  EncodeOptions options = {};
  std::vector<std::string> golden_pieces = {};  // of the text; empty where unknown
  bool decoding = false;
  std::vector<TokenId> ids = {};  // to decode
  bool skip_special_tokens = false;
};
Answer ask(const Tokenizer& tokenizer, const Question& question);

struct TokenMismatch {
  Question question;
  Answer expected, actual;  // expected: the golden's, or the reference's
  std::string remark = {};  // of a set, where no side has the golden SHA-256
};

struct PairResult {
  std::int64_t compared = 0;
  std::int64_t mismatches = 0;
  std::optional<TokenMismatch> first;
  void add(const Question& question, const Answer& expected, const Answer& actual);
  void append(PairResult later);
};

struct CategoryResult {
  std::string category;
  std::int64_t texts = 0;
  std::map<SidePair, PairResult> pairs;
  std::map<std::string, std::int64_t> excluded;  // reason -> texts on which the reference is no judge
  void append(CategoryResult later);             // the category's name stays
};

// Why the reference's answer proves nothing (its libraries' Unicode is not the tokenizer's); nullopt where it
// counts.
std::optional<std::string> reference_excluded(const Question& question);

// Asks both sides, and compares them and the golden one; where the reference is excluded, it is not asked.
void compare(CategoryResult& result, const Question& question, const Answer* golden);

CategoryResult compare_category(const TextCategory& category);

}  // namespace plumbline::phases
