// A third sampler, plain and in f64 where the contract leaves the choice, with mistakes that can be planted
// in it. It shares no code with the two that the project judges.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "harness/sampling.h"

namespace plumbline::mutants {

// In the order of the stages where they are planted.
enum class SamplingMistake : std::uint8_t {
  none,
  repetition_ignores_sign,
  repetition_per_occurrence,
  repetition_on_generated_alone,
  frequency_counts_the_prompt,
  presence_per_occurrence,
  bias_before_the_penalties,
  bias_ignored,
  penalties_after_the_temperature,
  temperature_multiplied,
  temperature_in_bf16,
  temperature_zero_draws,
  greedy_before_the_penalties,
  greedy_takes_the_last_tie,
  top_k_cuts_ties,
  top_k_one_too_few,
  top_k_of_fifty_when_off,
  top_p_before_top_k,
  top_p_one_too_many,
  top_p_drops_at_equality_only_below,
  top_p_without_the_crossing_token,
  top_p_of_the_whole_vocabulary,
  top_p_summed_in_bf16,
  top_p_prefers_low_ids,
  min_p_absolute,
  min_p_of_the_logits,
  probabilities_not_renormalised,
  probabilities_without_the_maximum,
  probabilities_in_f16,
  draw_at_equality,
  draw_last_token_at_the_end,
  draw_from_all_tokens,
  draw_in_sorted_order,
  noise_in_f32,
  one_stream_for_all_rows,
  the_same_draw_at_every_step,
  nan_taken_for_small,
};

struct SamplingMutation {
  SamplingMistake mistake = SamplingMistake::none;
  std::string name;
  // The stage that must be the first wrong one, "sample.top_k"; or the check that must fail: "noise",
  // "rows", "steps", "refusal".
  std::string blamed;
  std::string also{};  // the first wrong stage of draws on which `blamed` happens to be right
};
std::span<const SamplingMutation> all_sampling_mutations();

std::unique_ptr<Sampler> make_plain_sampler(SamplingMistake planted, std::uint64_t seed = 0);

}  // namespace plumbline::mutants
