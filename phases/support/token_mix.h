// Long texts, made here as fixtures/scripts/goldens_token_sets.py makes them: 100 MB of mixed text in blocks
// of 1 MiB, and words of 1 MB.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "phases/support/token_compare.h"

namespace plumbline::phases {

// A line that names the block, texts of all categories, an end of line: what stands before it and after it
// changes no token of it, so that blocks in a row are encoded to the ids of each, one after the other.
std::string mixed_block(std::uint64_t number);

// One name and text each: a letter, letters, ideographs, marks, spaces, line ends, digits, signs.
std::vector<std::pair<std::string, std::string>> long_words();

// Every block by the native side alone, against its golden SHA-256; the reference is asked for the first
// `reference_bytes` of block 0. Then all blocks as one text: the same ids. Adds what it took as evidence.
std::vector<CategoryResult> compare_mixed_text(std::uint64_t blocks, std::size_t reference_bytes);

// The words by the native side, against their golden SHA-256; the reference is asked for the beginnings of
// `reference_bytes`.
std::vector<CategoryResult> compare_long_words(std::size_t reference_bytes);

}  // namespace plumbline::phases
