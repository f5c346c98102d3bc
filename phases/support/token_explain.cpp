#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "harness/encoding_stages.h"
#include "harness/error.h"
#include "harness/report_text.h"
#include "phases/support/sides.h"
#include "phases/support/token_report.h"

namespace plumbline::phases {
namespace {

constexpr std::size_t kShown = 60;  // bytes of a text

// Around byte `at`, cut between characters.
std::string excerpt(std::string_view text, std::size_t at = 0) {
  const auto inside = [&](std::size_t i) {
    return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
  };
  std::size_t begin = at > kShown / 2 ? std::min(at, text.size()) - kShown / 2 : 0;
  std::size_t end = std::min(text.size(), begin + kShown);
  while (begin > 0 && inside(begin)) --begin;
  while (inside(end)) ++end;
  return fmt::format("{}'{}'{}", begin > 0 ? "…" : "", one_line(text.substr(begin, end - begin)),
                     end < text.size() ? "…" : "");
}

std::optional<EncodingStages> stages_of(const Tokenizer& tokenizer, const Question& question) {
  try {
    return tokenizer.encode_in_stages(question.text, question.options);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// The stages of who gave `answer`: the side in question, if its own way leads there.
std::optional<EncodingStages> way_to(const Answer& answer, const Tokenizer& tokenizer,
                                     const Question& question) {
  std::optional<EncodingStages> stages = stages_of(tokenizer, question);
  if (!stages) return std::nullopt;
  std::vector<TokenId> ids;
  for (const auto& piece : stages->pieces) ids.insert(ids.end(), piece.ids.begin(), piece.ids.end());
  if (ids != answer.ids) return std::nullopt;
  return stages;
}

// Of a golden: those of the side that agrees with it, else its pieces, where they are known.
std::optional<EncodingStages> way_to_golden(const TokenMismatch& mismatch) {
  const Question& question = mismatch.question;
  for (const Tokenizer* side : {reference_tokenizer(), native_tokenizer()}) {
    if (auto stages = way_to(mismatch.expected, *side, question)) return stages;
  }
  if (question.golden_pieces.empty()) return std::nullopt;
  return stages_of_pieces(question.text, question.golden_pieces, mismatch.expected.ids,
                          *reference_tokenizer());
}

// From id `from` on, with some before it.
std::string shown_ids(const Answer& answer, std::size_t from = 0) {
  if (answer.refused) return "refused: " + answer.text;
  const std::size_t begin = std::min(from > 4 ? from - 4 : 0, answer.ids.size());
  return (begin > 0 ? "… " : "") + id_list(std::span(answer.ids).subspan(begin), 20);
}

// How many ids are the same.
std::size_t first_difference(const Answer& expected, const Answer& actual) {
  return static_cast<std::size_t>(std::ranges::mismatch(expected.ids, actual.ids).in1 - expected.ids.begin());
}

std::string pieces_of(const std::vector<EncodingStages::Piece>& pieces) {
  std::string list;
  for (const auto& piece : pieces) list += (list.empty() ? "'" : " | '") + one_line(piece.text) + "'";
  return list;
}

std::string points_of(const std::vector<EncodingStages::Piece>& pieces) {
  std::string text;
  for (const auto& piece : pieces) text += piece.text;
  return code_points(text);
}

// The text around byte `at`, and its code points.
std::string asked(const Question& question, std::size_t at) {
  std::string_view text = question.text;
  const std::string shown = excerpt(text, at);
  constexpr std::size_t kBefore = 8;
  std::size_t begin = at > kBefore && text.size() > kShown ? std::min(at, text.size()) - kBefore : 0;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return fmt::format("{} ({}{}){}", shown, begin > 0 ? "… " : "", code_points(text.substr(begin)),
                     question.options.parse_special ? "" : ", special tokens read as text");
}

// Those of the ids that the goldens know as special tokens.
std::vector<TokenId> golden_specials(const Answer& answer) {
  std::vector<TokenId> found;
  if (!goldens() || goldens()->tokenization.is_null()) return found;
  const auto specials = goldens()->tokenization.at("special_tokens").get<std::map<std::string, TokenId>>();
  for (const TokenId id : answer.ids) {
    if (std::ranges::any_of(specials, [id](const auto& special) { return special.second == id; }))
      found.push_back(id);
  }
  return found;
}

ExplainedMismatch explain_encoding(SidePair pair, const TokenMismatch& mismatch) {
  const Question& question = mismatch.question;
  const std::size_t same = first_difference(mismatch.expected, mismatch.actual);
  ExplainedMismatch told{"unknown stage",
                         asked(question, 0),
                         {},
                         {{"ids", shown_ids(mismatch.expected, same), shown_ids(mismatch.actual, same)}}};
  if (mismatch.expected.refused || mismatch.actual.refused) {
    told.stage = "refusal";
    told.apart = fmt::format("expected {}, got {}", shown_ids(mismatch.expected), shown_ids(mismatch.actual));
    return told;
  }
  const Tokenizer& actual_side =
      pair == SidePair::reference_golden ? *reference_tokenizer() : *native_tokenizer();
  const auto expected = pair == SidePair::native_reference || pair == SidePair::stages
                            ? way_to(mismatch.expected, *reference_tokenizer(), question)
                            : way_to_golden(mismatch);
  const auto actual = way_to(mismatch.actual, actual_side, question);
  const auto parting =
      expected && actual ? first_parting(*expected, *actual) : std::optional<EncodingParting>();
  if (!parting) {
    if (golden_specials(mismatch.expected) != golden_specials(mismatch.actual)) {
      told.stage = encoding_stage_name(EncodingStage::added_tokens);
    }
    told.apart =
        mismatch.remark.empty() ? ids_apart(mismatch.expected.ids, mismatch.actual.ids) : mismatch.remark;
    return told;
  }
  told.stage = encoding_stage_name(parting->stage);
  told.asked = asked(question, parting->at);
  told.apart = to_string(*parting).substr(told.stage.size() + 2);
  told.rows.insert(told.rows.begin(),
                   {{"pieces where they part", pieces_of(parting->expected), pieces_of(parting->actual)},
                    {"their code points", points_of(parting->expected), points_of(parting->actual)}});
  return told;
}

ExplainedMismatch explain_decoding(const TokenMismatch& mismatch) {
  const std::string &expected = mismatch.expected.text, &actual = mismatch.actual.text;
  const auto at = static_cast<std::size_t>(std::ranges::mismatch(expected, actual).in1 - expected.begin());
  ExplainedMismatch told{"decode", "ids " + id_list(mismatch.question.ids), mismatch.remark, {}};
  if (told.apart.empty()) {
    told.apart =
        fmt::format("expected {}, got {} (from byte {} on)", excerpt(expected, at), excerpt(actual, at), at);
  }
  told.rows = {{"text", excerpt(expected, at), excerpt(actual, at)},
               {"code points", code_points(expected), code_points(actual)}};
  return told;
}

}  // namespace

ExplainedMismatch explain(SidePair pair, const TokenMismatch& mismatch) {
  return mismatch.question.decoding ? explain_decoding(mismatch) : explain_encoding(pair, mismatch);
}

}  // namespace plumbline::phases
