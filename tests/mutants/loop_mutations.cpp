#include <vector>

#include "tests/mutants/loop.h"

namespace plumbline::mutants {
namespace {

using M = LoopMistake;

const std::vector<LoopMutation>& table() {
  // clang-format off
  static const std::vector<LoopMutation> mutations = {
      {M::first_end_token_alone, "only the first of several end tokens stops", "every end token of a list stops, and is kept"},
      {M::end_token_in_prompt_stops, "an end token in the prompt stops", "an end token in the prompt does not stop"},
      {M::end_token_dropped, "the end token is not kept", "every end token of a list stops, and is kept"},
      {M::one_token_too_many, "one token more than max_new_tokens", "max_new_tokens"},
      {M::max_length_of_new_tokens, "max_length counts new tokens alone", "max_length counts the prompt"},
      {M::full_one_too_late, "a full context is seen one token late", "a full context ends the text"},
      {M::stop_string_within_tokens_alone, "a stop string is missed across tokens", "a stop string across two tokens stops before it"},
      {M::text_token_by_token, "each token's text by itself, half characters replaced", "text is streamed in whole characters"},
      {M::prefix_read_again, "nothing of the cache is used again", "what is cached is not computed again"},
      {M::positions_restart, "positions restart behind the cached prefix", "positions count on behind the cached prefix"},
      {M::cached_not_attended, "new tokens do not attend to the cached prefix", "an answer behind a cached prefix is a recompute's"},
      {M::crop_one_too_many, "one token too many kept of the common prefix", "what is cached is not computed again"},
      {M::empty_prompt_forgets, "an empty prompt forgets what is held", "an empty prompt goes on from what is held"},
      {M::empty_prompt_without_start, "no start token over an empty cache", "an empty prompt over nothing begins with the model's own token"},
      {M::fork_shares_storage, "a fork writes into the same sequence", "a fork is independent"},
      {M::ended_row_goes_on, "a row that has ended goes on writing", "a row that has ended is computed no more"},
      {M::rows_take_first_rows_logits, "all rows choose by the first one's logits", "a row of a batch is that row alone"},
      {M::uniforms_from_the_second_on, "each draw takes the next one's uniform", "sampled tokens, golden"},
      {M::edited_logits_shown, "the callback is shown the edited logits", "a callback sees the engine's logits"},
      {M::edited_logits_ignored, "edits of the logits are lost", "edited logits decide"},
      {M::forced_token_not_read, "a forced token is shown, the chosen one read", "what follows a forced token has read it"},
      {M::callback_cannot_stop, "a callback's stop is not looked at", "a callback ends the text"},
      {M::insertion_without_token_before, "an insertion is read without the token before it", "an insertion is read behind the token before it"},
      {M::last_token_lost_between_turns, "the last sampled token is lost between turns", "a turn is put behind all that was said"},
      {M::last_token_written_twice, "the last sampled token is written twice between turns", "a turn reads what is new, from the last answer's last token on"},
      {M::default_system_every_turn, "the default system text is added at every turn", "a default system text stands once"},
      {M::answer_not_closed, "nothing closes an answer", "a turn is put behind all that was said"},
      {M::eviction_drops_system, "eviction drops the system prompt", "eviction keeps the system prompt"},
      {M::eviction_halves_exchange, "eviction drops half an exchange", "the oldest exchange goes, whole"},
      {M::eviction_keeps_cache, "eviction leaves the cache as it was", "an answer after eviction is as if the oldest had never been"},
      {M::capture_overwritten, "captured rows are overwritten by the next token's", "captured rows are those of the whole text"},
      {M::capture_changes_output, "capturing changes the output", "capturing changes nothing"},
      {M::capture_positions_of_calls, "captured rows count calls, not tokens", "captured rows say whose they are"},
      {M::intervention_in_prefill_alone, "an intervention acts on the first call alone", "an intervention acts in prefill and at every later token"},
      {M::intervention_in_decode_alone, "an intervention leaves out the prefill", "an intervention acts in prefill and at every later token"},
  };
  // clang-format on
  return mutations;
}

}  // namespace

std::span<const LoopMutation> all_loop_mutations() {
  return table();
}

}  // namespace plumbline::mutants
