#include "harness/encoding_stages.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "harness/error.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

using Piece = EncodingStages::Piece;
using Pieces = std::vector<Piece>;

// Bytes of a long text that are kept before and after a difference.
constexpr std::size_t kBefore = 8, kAfter = 24;

// Parts as pieces: an added token carries its id. Plain neighbours are joined.
Pieces from_parts(const std::vector<EncodingStages::Part>& parts) {
  Pieces pieces;
  bool plain_before = false;
  for (const auto& part : parts) {
    if (part.added) {
      pieces.push_back({part.text, {*part.added}});
    } else if (plain_before) {
      pieces.back().text += part.text;
    } else if (!part.text.empty()) {
      pieces.push_back({part.text, {}});
    }
    plain_before = !part.added && !pieces.empty() && pieces.back().ids.empty();
  }
  return pieces;
}

Pieces texts_of(const Pieces& pieces) {
  Pieces texts;
  for (const Piece& piece : pieces) {
    if (!piece.text.empty()) texts.push_back({piece.text, {}});
  }
  return texts;
}

bool same(const Piece& a, const Piece& b) {
  return a.text == b.text && a.ids == b.ids;
}

// From the first pieces that differ to where both have used the same number of bytes and agree from there.
struct Stretch {
  std::size_t at = 0;
  Pieces expected, actual;
};
std::optional<Stretch> first_stretch(const Pieces& expected, const Pieces& actual) {
  const auto [left, right] = std::ranges::mismatch(expected, actual, same);
  if (left == expected.end() && right == actual.end()) return std::nullopt;
  Stretch stretch;
  for (auto before = expected.begin(); before != left; ++before) stretch.at += before->text.size();
  auto a = left;
  auto b = right;
  std::size_t bytes_a = 0, bytes_b = 0;
  do {
    const bool take_a = b == actual.end() || (a != expected.end() && bytes_a <= bytes_b);
    if (take_a) {
      bytes_a += a->text.size();
      stretch.expected.push_back(*a++);
    } else {
      bytes_b += b->text.size();
      stretch.actual.push_back(*b++);
    }
  } while (bytes_a != bytes_b && (a != expected.end() || b != actual.end()));
  return stretch;
}

bool continues(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

// The text around byte `at`, cut between characters.
std::string around(const std::string& text, std::size_t at) {
  std::size_t begin = at > kBefore ? at - kBefore : 0, end = std::min(text.size(), at + kAfter);
  while (begin > 0 && begin < text.size() && continues(text[begin])) --begin;
  while (end < text.size() && continues(text[end])) ++end;
  return text.substr(begin, end - begin);
}

void shorten(Stretch& stretch) {
  if (stretch.expected.size() != 1 || stretch.actual.size() != 1) return;
  std::string &expected = stretch.expected[0].text, &actual = stretch.actual[0].text;
  const auto at = static_cast<std::size_t>(std::ranges::mismatch(expected, actual).in1 - expected.begin());
  stretch.at += at;
  expected = around(expected, at);
  actual = around(actual, at);
}

std::optional<EncodingParting> parting_at(EncodingStage stage, const Pieces& expected, const Pieces& actual) {
  std::optional<Stretch> stretch = first_stretch(expected, actual);
  if (!stretch) return std::nullopt;
  if (stage == EncodingStage::normalise) shorten(*stretch);
  return EncodingParting{stage, stretch->at, std::move(stretch->expected), std::move(stretch->actual)};
}

// The length of the well-formed character that the text begins with, 0 for none (RFC 3629); its value.
std::size_t character(std::string_view text, char32_t& value) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return 0;
  value = length == 1 ? first : first & (0x7F >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (!continues(text[i])) return 0;
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool well_formed = value >= kLeast[length] && value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF);
  return well_formed ? length : 0;
}

bool plain_to_see(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F; });
}

std::string shown(const Piece& piece) {
  std::string text = "'" + one_line(piece.text) + "'";
  if (!plain_to_see(piece.text) && !piece.text.empty()) text += " (" + code_points(piece.text, 10) + ")";
  if (!piece.ids.empty()) text += " " + id_list(piece.ids, 8);
  return text;
}

std::string shown(const Pieces& pieces) {
  constexpr std::size_t kMost = 6;
  if (pieces.empty()) return "nothing";
  std::string text;
  for (std::size_t i = 0; i < std::min(kMost, pieces.size()); ++i) {
    text += (i > 0 ? " | " : "") + shown(pieces[i]);
  }
  return pieces.size() > kMost ? text + " | …" : text;
}

}  // namespace

std::string_view encoding_stage_name(EncodingStage stage) {
  switch (stage) {
    case EncodingStage::added_tokens:
      return "added tokens";
    case EncodingStage::normalise:
      return "normalise";
    case EncodingStage::split:
      return "split";
    case EncodingStage::merge:
      return "merge";
  }
  throw InternalError("no such stage of an encoding");
}

std::optional<EncodingParting> first_parting(const EncodingStages& expected, const EncodingStages& actual) {
  using enum EncodingStage;
  if (auto parting = parting_at(added_tokens, from_parts(expected.cut), from_parts(actual.cut)))
    return parting;
  if (auto parting = parting_at(normalise, from_parts(expected.normalized), from_parts(actual.normalized)))
    return parting;
  if (auto parting = parting_at(split, texts_of(expected.pieces), texts_of(actual.pieces))) return parting;
  return parting_at(merge, expected.pieces, actual.pieces);
}

std::string to_string(const EncodingParting& parting) {
  return fmt::format("{}: expected {}, got {}", encoding_stage_name(parting.stage), shown(parting.expected),
                     shown(parting.actual));
}

std::string code_points(std::string_view text, std::size_t most) {
  std::string list;
  for (std::size_t at = 0, count = 0; at < text.size(); ++count) {
    if (!list.empty()) list += ' ';
    if (count == most) return list + "…";
    char32_t value = 0;
    const std::size_t length = character(text.substr(at), value);
    list += length > 0 ? fmt::format("U+{:04X}", static_cast<std::uint32_t>(value))
                       : fmt::format("byte {:02X}", static_cast<unsigned char>(text[at]));
    at += std::max<std::size_t>(length, 1);
  }
  return list;
}

std::string id_list(std::span<const TokenId> ids, std::size_t most) {
  const bool cut = ids.size() > most;
  return fmt::format("{}{}", fmt::join(ids.first(std::min(most, ids.size())), " "), cut ? " …" : "");
}

std::string ids_apart(std::span<const TokenId> expected, std::span<const TokenId> actual) {
  const auto at = static_cast<std::size_t>(std::ranges::mismatch(expected, actual).in1 - expected.begin());
  const auto rest = [at](std::span<const TokenId> ids) {
    return at < ids.size() ? id_list(ids.subspan(at), 8) : std::string("no more");
  };
  return fmt::format("expected {}, got {} (from id {} on, of {} and {})", rest(expected), rest(actual), at,
                     expected.size(), actual.size());
}

std::optional<EncodingStages> stages_of_pieces(std::string_view text, const std::vector<std::string>& pieces,
                                               std::span<const TokenId> ids, const Tokenizer& tokenizer) {
  EncodingStages stages;
  std::size_t next = 0, raw = 0;  // in the ids, in the text
  for (const std::string& piece : pieces) {
    std::size_t bytes = 0;
    std::vector<TokenId> own;
    while (bytes < piece.size() && next < ids.size()) {
      own.push_back(ids[next]);
      bytes += tokenizer.token_bytes(ids[next++]).size();
    }
    if (bytes != piece.size()) return std::nullopt;
    if (own.size() == 1 && tokenizer.is_special(own[0])) {
      const std::size_t found = text.find(piece, raw);
      if (found == std::string_view::npos) return std::nullopt;
      stages.cut.push_back({std::string(text.substr(raw, found - raw)), std::nullopt});
      stages.cut.push_back({piece, own[0]});
      stages.normalized.push_back({piece, own[0]});
      raw = found + piece.size();
    } else {
      stages.normalized.push_back({piece, std::nullopt});
    }
    stages.pieces.push_back({piece, std::move(own)});
  }
  if (next != ids.size()) return std::nullopt;
  stages.cut.push_back({std::string(text.substr(raw)), std::nullopt});
  return stages;
}

}  // namespace plumbline
