// Where two encodings part: the stage, and the stretch of pieces around it.
#include "harness/encoding_stages.h"

#include <catch2/catch.hpp>

#include "harness/error.h"

using namespace plumbline;

namespace {

using Part = EncodingStages::Part;
using Piece = EncodingStages::Piece;

// "it's 12" with one id for each byte.
EncodingStages plain() {
  return {{{"it's 12", {}}},
          {{"it's 12", {}}},
          {{"it", {1, 2}}, {"'s", {3, 4}}, {" ", {5}}, {"1", {6}}, {"2", {7}}}};
}

// A tokenizer whose token n has n bytes.
class BytesAlone final : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view, const EncodeOptions&) const override { return {}; }
  EncodingStages encode_in_stages(std::string_view, const EncodeOptions&) const override { return {}; }
  std::string decode(std::span<const TokenId>, bool) const override { return {}; }
  std::string token_bytes(TokenId id) const override {
    return std::string(static_cast<std::size_t>(id), 'x');
  }
  bool is_special(TokenId id) const override { return id == 8; }
  std::int64_t size() const override { return 9; }
  std::string render_chat(std::span<const ChatMessage>, const ChatOptions&) const override { return {}; }
};

}  // namespace

TEST_CASE("encoding stages: what agrees parts nowhere") {
  CHECK_FALSE(first_parting(plain(), plain()));
  CHECK_FALSE(first_parting({}, {}));
}

TEST_CASE("encoding stages: plain parts that are cut elsewhere, or empty, are the same") {
  EncodingStages other = plain();
  other.cut = {{"it's", {}}, {"", {}}, {" 12", {}}};
  other.normalized = {{"", {}}, {"it's 12", {}}};
  other.pieces.insert(other.pieces.begin(), Piece{"", {}});
  other.pieces.erase(other.pieces.begin());
  CHECK_FALSE(first_parting(plain(), other));
}

TEST_CASE("encoding stages: an added token that one side does not see") {
  EncodingStages expected{{{"a", {}}, {"<x>", 9}, {"b", {}}},
                          {{"a", {}}, {"<x>", 9}, {"b", {}}},
                          {{"a", {1}}, {"<x>", {9}}, {"b", {2}}}};
  EncodingStages actual{{{"a<x>b", {}}}, {{"a<x>b", {}}}, {{"a<x>b", {3}}}};
  const auto parting = first_parting(expected, actual);
  REQUIRE(parting);
  CHECK(parting->stage == EncodingStage::added_tokens);
  CHECK(parting->expected.size() == 3);
  CHECK(to_string(*parting) == "added tokens: expected 'a' | '<x>' 9 | 'b', got 'a<x>b'");
}

TEST_CASE("encoding stages: an added token of another id, or text that is none") {
  EncodingStages expected{{{"<x>", 9}}, {{"<x>", 9}}, {{"<x>", {9}}}}, actual = expected;
  actual.cut[0].added = 8;
  CHECK(to_string(*first_parting(expected, actual)) == "added tokens: expected '<x>' 9, got '<x>' 8");
  actual.cut[0].added = std::nullopt;
  CHECK(to_string(*first_parting(expected, actual)) == "added tokens: expected '<x>' 9, got '<x>'");
}

TEST_CASE("encoding stages: normalisation is named before what follows from it") {
  EncodingStages expected = plain(), actual = plain();
  expected.cut = actual.cut = {{"cafe\u0301", {}}};
  expected.normalized = {{"caf\u00e9", {}}};
  actual.normalized = {{"cafe\u0301", {}}};
  actual.pieces[0].text = "cafe";
  CHECK(to_string(*first_parting(expected, actual)) ==
        "normalise: expected 'caf\u00e9' (U+0063 U+0061 U+0066 U+00E9), got 'cafe\u0301' (U+0063 U+0061 "
        "U+0066 U+0065 U+0301)");
}

TEST_CASE("encoding stages: of a long text what stands around the difference is kept, whole characters") {
  EncodingStages expected = plain(), actual = plain();
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\u4e2d";
  expected.normalized = {{text + "\u00e9" + text, {}}};
  actual.normalized = {{text + "e\u0301" + text, {}}};
  const auto parting = first_parting(expected, actual);
  REQUIRE(parting);
  CHECK(parting->expected[0].text.size() <= 40);
  CHECK(parting->at == text.size());
  CHECK(code_points(parting->expected[0].text).find("byte") == std::string::npos);
  CHECK(parting->expected[0].text.find("\u00e9") != std::string::npos);
}

TEST_CASE("encoding stages: a split that differs ends where both sides agree again") {
  EncodingStages actual = plain();
  actual.pieces = {{"it", {1, 2}}, {"'s", {3, 4}}, {" ", {5}}, {"12", {8}}};
  const auto parting = first_parting(plain(), actual);
  REQUIRE(parting);
  CHECK(to_string(*parting) == "split: expected '1' | '2', got '12'");
  actual.pieces = {{"it's", {1}}, {" ", {5}}, {"1", {6}}, {"2", {7}}};
  CHECK(to_string(*first_parting(plain(), actual)) == "split: expected 'it' | ''s', got 'it's'");
  actual.pieces.clear();
  CHECK(first_parting(plain(), actual)->actual.empty());
  CHECK(first_parting(EncodingStages{}, plain())->stage == EncodingStage::added_tokens);
}

TEST_CASE("encoding stages: other ids of the same pieces") {
  EncodingStages actual = plain();
  actual.pieces[2].ids = {11};
  CHECK(to_string(*first_parting(plain(), actual)) == "merge: expected ' ' (U+0020) 5, got ' ' (U+0020) 11");
  actual.pieces[1].ids = {3};
  CHECK(to_string(*first_parting(plain(), actual)) == "merge: expected ''s' 3 4, got ''s' 3");
}

TEST_CASE("encoding stages: code points, and bytes that are none") {
  CHECK(code_points("a\u0301\U0001F600") == "U+0061 U+0301 U+1F600");
  CHECK(code_points("a\xc3") == "U+0061 byte C3");
  CHECK(code_points("\xed\xa0\x80") == "byte ED byte A0 byte 80");
  CHECK(code_points("\xf4\x90\x80\x80\xc0\x80").find("U+") == std::string::npos);
  CHECK(code_points("abcdef", 2) == "U+0061 U+0062 …");
  CHECK(code_points("").empty());
}

TEST_CASE("encoding stages: lists of ids") {
  const std::vector<TokenId> left{1, 2, 3}, right{1, 5};
  CHECK(ids_apart(left, right) == "expected 2 3, got 5 (from id 1 on, of 3 and 2)");
  CHECK(ids_apart(right, std::vector<TokenId>{1}) == "expected 5, got no more (from id 1 on, of 2 and 1)");
  CHECK(id_list(left, 2) == "1 2 …");
}

TEST_CASE("encoding stages: golden ids are dealt out to golden pieces by their bytes") {
  const BytesAlone tokenizer;
  const auto stages = stages_of_pieces("xxxxx", {"xx", "xxx"}, std::vector<TokenId>{2, 1, 2}, tokenizer);
  REQUIRE(stages);
  CHECK(stages->pieces[0].ids == std::vector<TokenId>{2});
  CHECK(stages->pieces[1].ids == std::vector<TokenId>{1, 2});
  CHECK(stages->normalized.size() == 2);
  CHECK(stages->cut.size() == 1);
  CHECK_FALSE(stages_of_pieces("xxxxx", {"xx", "xxx"}, std::vector<TokenId>{3, 2}, tokenizer));
  CHECK_FALSE(stages_of_pieces("xxxxx", {"xx", "xxx"}, std::vector<TokenId>{2, 3, 1}, tokenizer));
  CHECK_FALSE(stages_of_pieces("xxxxx", {"xx", "xxx"}, std::vector<TokenId>{2}, tokenizer));
}

TEST_CASE("encoding stages: special tokens in golden pieces cut the text as it was written") {
  const std::string special(8, 'x');
  const auto stages = stages_of_pieces("e\u0301" + special + "b", {"xx", special, "x"},
                                       std::vector<TokenId>{2, 8, 1}, BytesAlone());
  REQUIRE(stages);
  REQUIRE(stages->cut.size() == 3);
  CHECK(stages->cut[0].text == "e\u0301");
  CHECK(stages->cut[1].added == 8);
  CHECK(stages->normalized[1].added == 8);
  CHECK_FALSE(stages_of_pieces("ab", {special}, std::vector<TokenId>{8}, BytesAlone()));
}

TEST_CASE("encoding stages: where the parting is, in bytes of what the stage gives") {
  EncodingStages actual = plain();
  actual.pieces[3].ids = {9};
  CHECK(first_parting(plain(), actual)->at == 5);
  actual.normalized[0].text = "it's 13";
  CHECK(first_parting(plain(), actual)->at == 6);
}
