// Mistakes that can be planted in a third tokenizer.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace plumbline::mutants {

enum class TokenMistake : std::uint8_t {
  none,
  // token_tokenizer.cpp: added tokens
  specials_not_found,
  specials_always_found,
  found_in_normal_form_alone,
  lstrip_ignored,
  rstrip_ignored,
  single_word_ignored,
  shortest_added,
  // token_normal.cpp: normalising
  no_normal_form,
  decomposed,
  compatibility_forms,
  marks_unordered,
  lowercased,
  replacement_dropped,
  byte_order_mark_dropped,
  line_ends_unified,
  // token_split.cpp: splitting
  digits_grouped,
  digits_in_threes,
  last_space_taken,
  line_end_without_space_before,
  line_ends_not_with_signs,
  space_not_with_word,
  space_not_with_signs,
  contractions_in_lower_case_alone,
  long_s_lost,
  older_letters,
  marks_are_letters,
  spaces_of_ascii_alone,
  space_put_before,
  // token_merge.cpp: merging
  longest_merge_first,
  rightmost_of_equal,
  leftmost_merge_first,
  longest_prefix,
  // token_tokenizer.cpp: bytes that are no UTF-8, and decoding
  offset_in_characters,
  specials_skipped_always,
  specials_never_skipped,
  replaced_by_byte,
  text_of_each_token,
  broken_bytes_dropped,
  // token_chat.cpp
  default_system_lost,
  generation_prompt_missing,
  arguments_sorted,
  results_not_joined,
};

struct TokenMutation {
  TokenMistake mistake = TokenMistake::none;
  std::string name;
  std::string blamed;     // the stage that is named first
  std::string also = {};  // another one that may be named: of an added token that is found in normalised text
};
std::span<const TokenMutation> all_token_mutations();

}  // namespace plumbline::mutants
