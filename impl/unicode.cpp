#include "impl/unicode.h"

#include <bit>
#include <cstring>
#include <utility>

namespace plumbline::native {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// One sequence at the start of some bytes: how many belong together, whether they are well-formed, and what
// they stand for if they are.
struct Utf8Sequence {
  std::size_t length = 1;
  bool valid = false;
  char32_t code_point = 0;
};

// Table 3-7 of the Unicode Standard: the second byte's range depends on the first.
inline Utf8Sequence scan_utf8(const char* begin, const char* end) {
  const auto left = static_cast<std::size_t>(end - begin);
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(begin[i]); };
  const auto continues = [&](std::size_t i) { return i < left && (at(i) & 0xC0) == 0x80; };
  const char32_t lead = at(0);
  if (lead < 0x80) return {1, true, lead};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  if (!continues(1)) return {1, false};
  const char32_t second = at(1) & 0x3Fu;
  if (lead < 0xE0) return {2, true, ((lead & 0x1F) << 6) | second};
  if (lead < 0xF0) {
    if ((lead == 0xE0 && second < 0x20) || (lead == 0xED && second >= 0x20)) return {1, false};
    if (!continues(2)) return {2, false};
    return {3, true, ((lead & 0x0F) << 12) | (second << 6) | (at(2) & 0x3Fu)};
  }
  if ((lead == 0xF0 && second < 0x10) || (lead == 0xF4 && second >= 0x10)) return {1, false};
  if (!continues(2)) return {2, false};
  if (!continues(3)) return {3, false};
  return {4, true, ((lead & 0x07) << 18) | (second << 12) | ((at(2) & 0x3Fu) << 6) | (at(3) & 0x3Fu)};
}

// The end of the run of ASCII at `at`, eight bytes at a time.
inline const char* skip_ascii(const char* at, const char* end) {
  constexpr std::uint64_t kHighBits = 0x8080808080808080;
  while (end - at >= 8) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, at, sizeof(bytes));
    bytes &= kHighBits;
    if (bytes != 0) {
      if constexpr (std::endian::native == std::endian::little) at += std::countr_zero(bytes) / 8;
      break;
    }
    at += 8;
  }
  while (at != end && static_cast<unsigned char>(*at) < 0x80) ++at;
  return at;
}

// scan_utf8() where four bytes can be read, whatever they are: compared all at once.
inline Utf8Sequence scan_utf8_of_four(const char* begin) {
  const auto at = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(begin[i])}; };
  const std::uint32_t bytes = at(0) | (at(1) << 8) | (at(2) << 16) | (at(3) << 24);
  if ((bytes & 0xC0F0) == 0x80E0 && (bytes & 0xC00000) == 0x800000) {
    const char32_t c = ((bytes & 0x0F) << 12) | ((bytes >> 2) & 0xFC0) | ((bytes >> 16) & 0x3F);
    if (c >= 0x800 && c - 0xD800 >= 0x800) return {3, true, c};
  } else if ((bytes & 0xC0E0) == 0x80C0) {
    const char32_t c = ((bytes & 0x1F) << 6) | ((bytes >> 8) & 0x3F);
    if (c >= 0x80) return {2, true, c};
  }
  return scan_utf8(begin, begin + 4);
}

// The quick check of UAX #15, one code point after another: doubtful are those that it does not answer with
// Yes, and a mark of a lower class than the mark before it.
class QuickCheck {
 public:
  bool doubts(char32_t c) {
    const std::uint8_t entry = nfc_entry(c);
    const int rank = entry & kNfcRank;
    const int before = std::exchange(rank_, rank);
    return (entry & kNfcNotYes) != 0 || (rank != 0 && rank < before);
  }
  void pass_ascii() { rank_ = 0; }

 private:
  int rank_ = 0;
};

enum class Look { utf8, nfc, both };

struct Finding {
  std::size_t invalid_at = std::string_view::npos;
  std::size_t doubt_at = std::string_view::npos;
};

// Look::nfc stops at the first doubt; the others go on to what is not UTF-8.
template <Look look>
Finding scan(std::string_view text, std::size_t offset) {
  Finding found;
  QuickCheck check;
  const char* at = text.data() + offset;
  const char* const end = text.data() + text.size();
  while (at != end) {
    if (static_cast<unsigned char>(*at) < 0x80) {
      ++at;
      if (at != end && static_cast<unsigned char>(*at) < 0x80) at = skip_ascii(at, end);
      check.pass_ascii();
      continue;
    }
    const Utf8Sequence sequence = end - at >= 4 ? scan_utf8_of_four(at) : scan_utf8(at, end);
    const auto here = static_cast<std::size_t>(at - text.data());
    if (!sequence.valid) {
      found.invalid_at = here;
      return found;
    }
    if (look != Look::utf8 && check.doubts(sequence.code_point)) {
      found.doubt_at = here;
      if (look == Look::both) found.invalid_at = scan<Look::utf8>(text, here).invalid_at;
      return found;
    }
    at += sequence.length;
  }
  return found;
}

}  // namespace

std::string_view unicode_version() {
  return kUnicodeVersion;
}

std::string_view nfc_version() {
  return kNfcVersion;
}

TextScan scan_text(std::string_view text) {
  const Finding found = scan<Look::both>(text, 0);
  return {found.invalid_at, found.doubt_at != std::string_view::npos};
}

std::size_t find_invalid_utf8(std::string_view text) {
  return scan<Look::utf8>(text, 0).invalid_at;
}

std::size_t find_nfc_doubt(std::string_view text, std::size_t offset) {
  return scan<Look::nfc>(text, offset).doubt_at;
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const std::size_t valid = find_invalid_utf8(bytes);
    out += bytes.substr(0, valid);
    if (valid == std::string_view::npos) break;
    bytes.remove_prefix(valid);
    out += kReplacement;
    bytes.remove_prefix(scan_utf8(bytes.data(), bytes.data() + bytes.size()).length);
  }
  return out;
}

}  // namespace plumbline::native
