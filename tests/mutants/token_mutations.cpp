#include <vector>

#include "tests/mutants/token_mistakes.h"

namespace plumbline::mutants {
namespace {

using M = TokenMistake;

const std::vector<TokenMutation>& table() {
  // clang-format off
  static const std::vector<TokenMutation> mutations = {
      {M::specials_not_found, "special tokens are text like any other", "added tokens", "normalise"},
      {M::specials_always_found, "special tokens are found where text was asked for", "added tokens", "normalise"},
      {M::found_in_normal_form_alone, "added tokens are looked for in normalised text alone", "added tokens", "normalise"},
      {M::lstrip_ignored, "lstrip ignored", "added tokens", "normalise"},
      {M::rstrip_ignored, "rstrip ignored", "added tokens", "normalise"},
      {M::single_word_ignored, "single_word ignored", "added tokens", "normalise"},
      {M::shortest_added, "the shortest of several added tokens", "added tokens", "normalise"},
      {M::no_normal_form, "no normal form", "normalise"},
      {M::decomposed, "NFD for NFC", "normalise"},
      {M::compatibility_forms, "compatibility forms (ligatures, full width) replaced", "normalise"},
      {M::marks_unordered, "composed, but marks not ordered", "normalise"},
      {M::lowercased, "text in lower case", "normalise"},
      {M::replacement_dropped, "U+FFFD dropped", "normalise"},
      {M::byte_order_mark_dropped, "a byte order mark dropped", "normalise"},
      {M::line_ends_unified, "CR LF becomes LF", "normalise"},
      {M::digits_grouped, "\\p{N}+ for \\p{N}", "split"},
      {M::digits_in_threes, "\\p{N}{1,3} for \\p{N}", "split"},
      {M::last_space_taken, "\\s+(?!\\S) lost", "split"},
      {M::line_end_without_space_before, "\\s* lost before line ends", "split"},
      {M::line_ends_not_with_signs, "[\\r\\n]* lost behind signs", "split"},
      {M::space_not_with_word, "[^\\r\\n\\p{L}\\p{N}]? lost before words", "split"},
      {M::space_not_with_signs, "the space lost before signs", "split"},
      {M::contractions_in_lower_case_alone, "(?i) lost in contractions", "split"},
      {M::long_s_lost, "no long s in contractions", "split"},
      {M::older_letters, "letters of Unicode 14", "split"},
      {M::marks_are_letters, "marks are letters", "split"},
      {M::spaces_of_ascii_alone, "\\s of ASCII alone", "split"},
      {M::space_put_before, "add_prefix_space", "split"},
      {M::longest_merge_first, "the longest merge first, not the lowest rank", "merge"},
      {M::rightmost_of_equal, "the rightmost of merges of one rank first", "merge"},
      {M::leftmost_merge_first, "the leftmost merge first, whatever its rank", "merge"},
      {M::longest_prefix, "the longest token that the rest begins with", "merge"},
      {M::offset_in_characters, "offsets of broken UTF-8 in characters", "refusal"},
      {M::specials_skipped_always, "special tokens are always left out of decoded text", "decode"},
      {M::specials_never_skipped, "special tokens are never left out of decoded text", "decode"},
      {M::replaced_by_byte, "U+FFFD for each byte", "decode"},
      {M::text_of_each_token, "each token's text by itself", "decode"},
      {M::broken_bytes_dropped, "bytes that are no UTF-8 are dropped", "decode"},
      {M::default_system_lost, "no default system text", "chat"},
      {M::generation_prompt_missing, "no generation prompt", "chat"},
      {M::arguments_sorted, "the keys of a call's arguments sorted", "chat"},
      {M::results_not_joined, "a turn for each tool result", "chat"},
  };
  // clang-format on
  return mutations;
}

}  // namespace

std::span<const TokenMutation> all_token_mutations() {
  return table();
}

}  // namespace plumbline::mutants
