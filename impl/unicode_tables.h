// The tables behind impl/unicode.h and nfc.cpp; their contents are generated
// (tools/generate_unicode_tables.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace plumbline::native {

// The first byte of a code point: its CharClass in two bits, and whether it is \w.
constexpr std::uint8_t kPropertyClass = 3;
constexpr std::uint8_t kPropertyWord = 4;

// The second byte: what NFC must know. Combining classes are
// only compared, so that the rank among those in use stands for each: 0 is class 0. A boundary, over which
// NFC never reaches, stands before every code point of rank 0 without kNfcNotYes.
constexpr std::uint8_t kNfcRank = 63;
constexpr std::uint8_t kNfcDecomposes = 64;  // is in kDecompositions
constexpr std::uint8_t kNfcNotYes = 128;     // NFC_Quick_Check is No or Maybe

struct Decomposition {  // canonical, one step; sorted by code point; `second` is 0 for singletons
  char32_t code_point;
  char32_t first;
  char32_t second;
};
struct Composition {  // sorted by (first, second)
  char32_t first;
  char32_t second;
  char32_t composite;
};

extern const std::string_view kUnicodeVersion;
extern const std::string_view kNfcVersion;

// Two stages: the number of the block for each 256 code points, then the blocks. Block 0 is the first one.
extern const std::uint8_t kPropertyIndex[];
extern const std::uint8_t kPropertyBlocks[];
extern const std::uint8_t kNfcIndex[];
extern const std::uint8_t kNfcBlocks[];

extern const std::span<const Decomposition> kDecompositions;
extern const std::span<const Composition> kCompositions;

inline std::uint8_t code_point_properties(char32_t c) {
  if (c < 0x100) return kPropertyBlocks[c];
  return kPropertyBlocks[(std::size_t{kPropertyIndex[c >> 8]} << 8) | (c & 0xFF)];
}

inline std::uint8_t nfc_entry(char32_t c) {
  return kNfcBlocks[(std::size_t{kNfcIndex[c >> 8]} << 8) | (c & 0xFF)];
}

}  // namespace plumbline::native
