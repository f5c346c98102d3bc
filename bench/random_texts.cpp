#include "bench/random_texts.h"

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "harness/draws.h"

namespace plumbline::differential {
namespace {

template <typename T, std::size_t n>
const T& one_of(const std::array<T, n>& list, Draws& draws) {
  return list[draws.below(n)];
}

using Range = std::pair<char32_t, char32_t>;

constexpr std::array kScripts{
    Range{0x00C0, 0x024F},   Range{0x0250, 0x02FF},   Range{0x0370, 0x03FF},   Range{0x0400, 0x052F},
    Range{0x0531, 0x058F},   Range{0x05BE, 0x05F4},   Range{0x0600, 0x06FF},   Range{0x0700, 0x074F},
    Range{0x0780, 0x07FF},   Range{0x0900, 0x097F},   Range{0x0980, 0x09FF},   Range{0x0A00, 0x0A7F},
    Range{0x0A80, 0x0AFF},   Range{0x0B00, 0x0B7F},   Range{0x0B80, 0x0BFF},   Range{0x0C00, 0x0C7F},
    Range{0x0C80, 0x0CFF},   Range{0x0D00, 0x0D7F},   Range{0x0D80, 0x0DFF},   Range{0x0E01, 0x0E5B},
    Range{0x0E81, 0x0EDF},   Range{0x0F00, 0x0FDA},   Range{0x1000, 0x109F},   Range{0x10A0, 0x10FF},
    Range{0x1200, 0x139F},   Range{0x13A0, 0x13FF},   Range{0x1680, 0x16F8},   Range{0x1780, 0x17F9},
    Range{0x1800, 0x18AA},   Range{0x1E00, 0x1FFE},   Range{0x2C00, 0x2DFF},   Range{0x3041, 0x30FF},
    Range{0x4E00, 0x9FFF},   Range{0xA000, 0xA48C},   Range{0xA640, 0xA7FF},   Range{0xFB00, 0xFDFF},
    Range{0xFE70, 0xFFEF},   Range{0x10000, 0x103DF}, Range{0x11000, 0x114FF}, Range{0x1D400, 0x1D7FF},
    Range{0x20000, 0x2FA1D}, Range{0x30000, 0x323AF}};
constexpr std::array kMarks{Range{0x0300, 0x036F}, Range{0x0483, 0x0489}, Range{0x0591, 0x05BD},
                            Range{0x064B, 0x0655}, Range{0x093C, 0x094D}, Range{0x0E31, 0x0E3A},
                            Range{0x1AB0, 0x1ACE}, Range{0x1DC0, 0x1DFF}, Range{0x20D0, 0x20F0},
                            Range{0x3099, 0x309A}, Range{0xFE20, 0xFE2F}};
constexpr std::array kHangul{Range{0x1100, 0x11FF}, Range{0x1100, 0x1112}, Range{0x1161, 0x1175},
                             Range{0x11A8, 0x11C2}, Range{0xAC00, 0xD7A3}, Range{0xA960, 0xA97C},
                             Range{0xD7B0, 0xD7FB}, Range{0x3131, 0x318E}};
constexpr std::array kEmoji{Range{0x1F300, 0x1F5FF}, Range{0x1F600, 0x1F64F}, Range{0x1F680, 0x1F6FF},
                            Range{0x1F900, 0x1FAFF}, Range{0x1F1E6, 0x1F1FF}, Range{0x1F3FB, 0x1F3FF},
                            Range{0x2600, 0x27BF},   Range{0x200D, 0x200D},   Range{0xFE0E, 0xFE0F},
                            Range{0xE0020, 0xE007F}};
constexpr std::array kNumbers{Range{0x0660, 0x0669},   Range{0x00B2, 0x00B3}, Range{0x00BC, 0x00BE},
                              Range{0x2150, 0x218B},   Range{0x2460, 0x249B}, Range{0xFF10, 0xFF19},
                              Range{0x1D7CE, 0x1D7FF}, Range{'0', '9'}};
constexpr std::array<char32_t, 24> kSpaces{' ',    ' ',    '\t',   0x0B,   0x0C,   0x1C,   0x1F,   0x85,
                                           0xA0,   0x1680, 0x180E, 0x2000, 0x2001, 0x2003, 0x2009, 0x200B,
                                           0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF, 0xFFFD};
constexpr std::array<std::string_view, 14> kContractions{
    "'s", "'S", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'lL", "'d", "'", "'\u017f", "\u2019s", "'l"};
constexpr std::array<std::string_view, 16> kSpecials{
    "<|im_start|>", "<|im_end|>",   "<|endoftext|>",  "<|im_",     "start|>", "<|",
    "|>",           "<|im_start|",  "|im_end|>",      "<",         "|",       "<|endof",
    "text|>",       "<|im_end|>\n", " <|im_start|> ", "<|IM_END|>"};
constexpr std::array<std::string_view, 6> kLineEnds{"\n", "\r\n", "\r", "\n\n", " \n", "\n "};

void append(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  constexpr unsigned kLead[] = {0, 0xC0, 0xE0, 0xF0};
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  text += static_cast<char>(kLead[more] | c >> (6 * more));
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | (c >> (6 * i) & 0x3F));
}

char32_t within(Range range, Draws& draws) {
  return range.first + static_cast<char32_t>(draws.below(range.second - range.first + 1));
}

char32_t any_scalar(Draws& draws) {
  const auto c = static_cast<char32_t>(draws.below(0x110000 - 0x800));
  return c < 0xD800 ? c : c + 0x800;
}

constexpr std::uint32_t kAlphabets = 14;

void append_unit(std::string& text, std::uint32_t alphabet, Range script, Draws& draws) {
  switch (alphabet) {
    case 0:
    case 1:
      return append(text, 'a' + draws.below(26));
    case 2:
      return append(text, within({' ', '~'}, draws));
    case 3:
      return append(text, within(one_of(kNumbers, draws), draws));
    case 4:
      return append(text, one_of(kSpaces, draws));
    case 5:
      text += one_of(kLineEnds, draws);
      return;
    case 6:
    case 7:
      return append(text, within(script, draws));
    case 8:
      return append(text, within(one_of(kMarks, draws), draws));
    case 9:
      return append(text, within(one_of(kHangul, draws), draws));
    case 10:
      return append(text, within(one_of(kEmoji, draws), draws));
    case 11:
      text += one_of(kContractions, draws);
      return;
    case 12:
      text += one_of(kSpecials, draws);
      return;
    default:
      return append(text, draws.below(4) == 0 ? draws.below(0x80) : any_scalar(draws));
  }
}

}  // namespace

std::string random_text(std::uint64_t seed, std::uint64_t number) {
  Draws draws(Draws(seed).next() ^ Draws(number).next());
  std::array<std::uint32_t, 4> alphabets{};
  for (std::uint32_t& alphabet : alphabets) alphabet = static_cast<std::uint32_t>(draws.below(kAlphabets));
  const std::size_t several = 1 + draws.below(alphabets.size());
  const Range script = one_of(kScripts, draws);
  const std::size_t length = draws.below(61);
  std::string text;
  std::uint32_t alphabet = alphabets[0];
  for (std::uint32_t i = 0; i < length; ++i) {
    if (draws.below(3) == 0) alphabet = alphabets[draws.below(several)];  // runs of one alphabet
    append_unit(text, alphabet, script, draws);
  }
  return text;
}

}  // namespace plumbline::differential
