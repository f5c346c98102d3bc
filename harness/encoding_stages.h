// Where two ways from a text to its ids part: the first stage that gives something else, and what it gives.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tokenizer.h"

namespace plumbline {

// The stages of an encoding, in the order they run.
enum class EncodingStage { added_tokens, normalise, split, merge };

std::string_view encoding_stage_name(EncodingStage stage);  // "added tokens", "normalise", "split", "merge"

// The shortest stretch of one stage's output, from the first difference on, over which the two sides do not
// agree. Both stretches begin at the same byte of what the stage gives and, but for normalisation, end at the
// same one. Of a longer text (normalise) what stands around the difference is kept.
struct EncodingParting {
  EncodingStage stage = EncodingStage::added_tokens;
  std::size_t at = 0;  // bytes of what the stage gives before the first difference
  std::vector<EncodingStages::Piece> expected, actual;  // ids: of added tokens; of `merge` of all pieces
};

// nullopt where all stages agree. Neighbouring plain parts count as one, and empty ones as none: where a side
// cuts between them shows in no id.
std::optional<EncodingParting> first_parting(const EncodingStages& expected, const EncodingStages& actual);

// "merge: expected 'low' 12 40, got 'low' 8 9". What is not visible ASCII is followed by its code points.
std::string to_string(const EncodingParting& parting);

// "U+0061 U+0301"; a byte that is no UTF-8 is "byte C3". After `most` code points "…".
std::string code_points(std::string_view text, std::size_t most = 12);

// "12 40 …", at most so many.
std::string id_list(std::span<const TokenId> ids, std::size_t most = 12);

// What two lists of ids have that is not the same, each from the first difference on, at most so many:
// "expected 5 6, got 7 (from id 12 on)".
std::string ids_apart(std::span<const TokenId> expected, std::span<const TokenId> actual);

// Stages made of what a third party gave: pieces (of its pre-tokenizer, and special tokens), and all ids. The
// ids are dealt out to the pieces by the bytes of their tokens as `tokenizer` has them. nullopt where that
// does not come out, or a special token is not in the text.
std::optional<EncodingStages> stages_of_pieces(std::string_view text, const std::vector<std::string>& pieces,
                                               std::span<const TokenId> ids, const Tokenizer& tokenizer);

}  // namespace plumbline
