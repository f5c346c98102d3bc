// A third generation loop, literal and slow, with all that the checks of phase 5 ask of one, and mistakes
// that can be planted in it. Of the native one it takes the engine, and the types of requests and answers.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "phases/support/loop_kit.h"

namespace plumbline::mutants {

enum class LoopMistake : std::uint8_t {
  none,
  // loop.cpp and loop_text.cpp: stopping
  first_end_token_alone,
  end_token_in_prompt_stops,
  end_token_dropped,
  one_token_too_many,
  max_length_of_new_tokens,
  full_one_too_late,
  stop_string_within_tokens_alone,
  text_token_by_token,
  // loop.cpp: what is cached
  prefix_read_again,
  positions_restart,
  cached_not_attended,
  crop_one_too_many,
  empty_prompt_forgets,
  empty_prompt_without_start,
  fork_shares_storage,
  // loop.cpp: rows, draws, callbacks
  ended_row_goes_on,
  rows_take_first_rows_logits,
  uniforms_from_the_second_on,
  edited_logits_shown,
  edited_logits_ignored,
  forced_token_not_read,
  callback_cannot_stop,
  insertion_without_token_before,
  // loop_talk.cpp
  last_token_lost_between_turns,
  last_token_written_twice,
  default_system_every_turn,
  answer_not_closed,
  eviction_drops_system,
  eviction_halves_exchange,
  eviction_keeps_cache,
  // loop_sinks.cpp
  capture_overwritten,
  capture_changes_output,
  capture_positions_of_calls,
  intervention_in_prefill_alone,
  intervention_in_decode_alone,
};

struct LoopMutation {
  LoopMistake mistake = LoopMistake::none;
  std::string name;
  std::string blamed;  // the name of the check that must be the first to fail
};
std::span<const LoopMutation> all_loop_mutations();

// Engine and tokenizer must outlive it.
std::unique_ptr<phases::LoopKit> make_plain_loop(LoopMistake planted, Engine& engine,
                                                 const Tokenizer* tokenizer);

}  // namespace plumbline::mutants
