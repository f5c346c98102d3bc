// Random short texts in which tokenizers disagree, if they do: drawn by seed and number, so that a mismatch
// can be made again.
#pragma once

#include <cstdint>
#include <string>

namespace plumbline::differential {

// Valid UTF-8 of up to 60 units: characters of one to four alphabets (letters, digits, signs, white space,
// line ends, scripts, marks, jamo and syllables, emoji with what joins them, contractions, special tokens and
// parts of them, any scalar value). The same for the same seed and number everywhere.
std::string random_text(std::uint64_t seed, std::uint64_t number);

}  // namespace plumbline::differential
