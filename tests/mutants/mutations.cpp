#include "tests/mutants/mutations.h"

namespace plumbline::mutants {
namespace {

using enum Probe;
using M = Mistake;

// name, case, first wrong op, other wrong ops, whether all that follows is wrong too, suspect
const std::vector<Mutation>& table() {
  // clang-format off
  static const std::vector<Mutation> mutations = {
      // load
      {M::q_bias_dropped, "bias of q_proj dropped", "prompt", q_proj, {}, false, "bias missing"},
      {M::k_bias_dropped, "bias of k_proj dropped", "prompt", k_proj, {}, false, "bias missing"},
      {M::v_bias_dropped, "bias of v_proj dropped", "prompt", v_proj, {}, false, "bias missing"},
      {M::head_not_tied, "head not tied where the config ties it", "tied", lm_head, {}, false, ""},
      {M::head_tied_wrongly, "head tied where the config does not", "prompt", lm_head, {}, false, "lm_head tied to the embedding"},
      {M::gate_and_up_swapped, "gate_proj and up_proj swapped", "prompt", gate_proj, {up_proj}, false, "gate and up swapped"},
      {M::o_proj_transposed, "o_proj, which is square, transposed", "prompt", o_proj, {}, false, "weight transposed"},
      {M::bf16_read_as_f16, "bf16 weights read as f16", "bf16 file", embed_tokens, {}, true, "bf16 read as f16"},
      {M::byte_order_swapped, "bytes of bf16 weights swapped", "bf16 file", embed_tokens, {}, true, "bytes swapped"},
      {M::vocabulary_padding_cut, "last 5 rows of the vocabulary cut off", "prompt", lm_head, {}, false,
       "last rows of the vocabulary cut off"},
      {M::layer_norms_swapped, "a layer's two norm weights swapped", "prompt", input_layernorm, {post_attention_layernorm}, false,
       "weights of post_attention_layernorm"},
      {M::k_and_v_weights_swapped, "k_proj and v_proj swapped", "prompt", k_proj, {v_proj}, false, "weights of v_proj"},
      {M::layer_takes_first_layers_weight, "layer 1 has layer 0's up_proj", "prompt", up_proj, {}, false,
       "weights of the layer before"},
      {M::eps_hard_coded, "eps 1e-5 instead of the config's 1e-6", "tiny norms", input_layernorm, {post_attention_layernorm, norm}, false,
       "eps hard-coded 1e-5"},
      {M::theta_hard_coded, "rope_theta 1e4 instead of the config's 1e6", "large theta", inv_freq, {cos, sin}, false,
       "rope_theta 10000"},
      // position: the table
      {M::theta_off, "rope_theta off by a ten-thousandth", "prompt", inv_freq, {cos, sin}, false, "rope_theta 10001"},
      {M::exponent_over_hidden, "frequencies' exponent over the hidden size", "prompt", inv_freq, {cos, sin}, false,
       "exponent over hidden_size"},
      {M::inv_freq_in_bf16, "inverse frequencies in bf16", "prompt", inv_freq, {cos, sin}, false, "output rounded to bf16"},
      {M::yarn_ignored, "YaRN ignored", "yarn", inv_freq, {cos, sin}, false, "YaRN left out"},
      {M::yarn_scales_all, "YaRN divides every frequency", "yarn", inv_freq, {cos, sin}, false, "linear scaling instead of YaRN"},
      {M::yarn_ramp_reversed, "YaRN's ramp reversed", "yarn", inv_freq, {cos, sin}, false, "YaRN's ramp reversed"},
      {M::yarn_factor_missing, "YaRN's attention factor missing", "yarn", cos, {sin}, false, "YaRN's factor missing"},
      {M::angles_off_by_one, "angles of the next position", "prompt", cos, {sin}, false, "positions one ahead"},
      {M::angles_of_first_token, "all tokens at the first one's angle", "prompt", cos, {sin}, false, "one position for the whole step"},
      {M::positions_in_bf16, "positions as bf16, wrong from 257 on", "far out", cos, {sin}, false, "positions rounded to bf16"},
      {M::cos_sin_in_bf16, "cos and sin in bf16", "prompt", cos, {sin}, false, "output rounded to bf16"},
      {M::cos_sin_swapped, "cos and sin swapped", "prompt", cos, {sin}, false, "cos and sin swapped"},
      {M::table_too_short, "positions beyond the table take its end", "far out", cos, {sin}, false, "positions clamped at a table's end"},
      // position: the rotation
      {M::pairs_interleaved, "rotary pairs interleaved", "prompt", q_rope, {k_rope}, false, "rotary pairs interleaved"},
      {M::sign_flipped, "rotary sign flipped", "prompt", q_rope, {k_rope}, false, "rotary sign flipped"},
      {M::minus_lost, "rotate_half without its minus", "prompt", q_rope, {k_rope}, false, "both halves with the same sign"},
      {M::keys_not_rotated, "queries rotated, keys not", "prompt", k_rope, {}, false, "not rotated"},
      {M::rotated_before_bias, "queries rotated before the bias", "prompt", q_rope, {}, false, "rotation before the bias"},
      {M::half_of_head_rotated, "half of each head rotated", "prompt", q_rope, {k_rope}, false, "half of each head rotated"},
      {M::positions_off_by_one, "positions counted from 1", "prompt", position_ids, {}, false, "positions one ahead"},
      {M::positions_restart, "positions restart in the second turn", "two turns", position_ids, {}, false, "positions restart at 0"},
      {M::pads_counted, "positions count the pads", "batch", position_ids, {}, false, "positions counted over pads"},
      // mask
      {M::mask_sees_one_ahead, "mask sees one token ahead", "prompt", attention_mask, {probs}, false, "causal mask one token ahead"},
      {M::mask_hides_itself, "mask hides the query's own key", "prompt", attention_mask, {probs}, false, "mask without self"},
      {M::mask_of_new_tokens_only, "mask covers the new tokens alone", "two turns", attention_mask, {probs}, false,
       "mask covers only new tokens"},
      {M::window_too_wide, "window one key too wide", "window", attention_mask, {probs}, false, "window one wider"},
      {M::window_too_narrow, "window one key too narrow", "mixed window", attention_mask_sliding, {probs}, false,
       "window one narrower"},
      {M::window_lost_in_decode, "no window while decoding", "window", attention_mask, {probs}, false, "no window"},
      {M::kernel_sees_one_ahead, "kernel sees one token ahead", "prompt", probs, {}, false, "causal mask one token ahead"},
      {M::kernel_hides_itself, "kernel hides the query's own key", "prompt", probs, {}, false, "mask without self"},
      {M::mask_minus_1e4, "mask of -1e4 beside large scores", "large scores", probs, {}, false, "mask too weak (-1e4)"},
      {M::mask_minus_30, "mask of -30", "prompt", probs, {}, false, "mask too weak (-30)"},
      {M::wrong_layers_slide, "the wrong layers slide", "mixed window", probs, {}, false, "window on the wrong layer"},
      {M::pads_attended, "pads attended", "batch", probs, {context}, false, "weight lost to places outside the sequence"},
      // ops: embedding, norms, residuals, head
      {M::token_off_by_one, "the next token's embedding", "prompt", embed_tokens, {}, false, "id plus one"},
      {M::embedding_scaled, "embedding times sqrt(hidden)", "prompt", embed_tokens, {}, false, "embedding scaled by sqrt(hidden)"},
      {M::layer_skipped, "last layer skipped", "prompt", input_layernorm, {}, true, ""},
      {M::norm_subtracts_mean, "LayerNorm instead of RMSNorm", "prompt", input_layernorm, {post_attention_layernorm, norm}, false,
       "mean subtracted"},
      {M::norm_over_n_minus_one, "norm divides by n - 1", "prompt", input_layernorm, {post_attention_layernorm, norm}, false,
       "divided by n - 1"},
      {M::norm_without_mean, "norm of the sum of squares", "prompt", input_layernorm, {post_attention_layernorm, norm}, false,
       "sum of squares instead of the mean"},
      {M::norm_weight_plus_one, "norm weight plus 1", "prompt", input_layernorm, {post_attention_layernorm, norm}, false,
       "norm weight plus one"},
      {M::norm_eps_outside_root, "eps added after the root", "tiny norms", input_layernorm, {}, false, "eps outside the root", {post_attention_layernorm, norm}},
      {M::norm_sum_in_bf16, "norm's squares summed in bf16", "prompt", input_layernorm, {post_attention_layernorm, norm}, false,
       "sum of squares in bf16"},
      {M::final_norm_left_out, "final norm left out", "prompt", norm, {}, false, "norm left out"},
      {M::post_norm_reads_layer_input, "second norm reads the layer's input", "prompt", post_attention_layernorm, {}, false,
       "reads the stream before attention"},
      {M::q_reads_stream, "q_proj reads the stream before the norm", "prompt", q_proj, {}, false, "input not normed"},
      {M::residual_left_out, "residual left out", "prompt", attn_residual, {mlp_residual}, false, "residual missing"},
      {M::residual_of_normed, "residual taken after the norm", "prompt", attn_residual, {}, false, "residual from the normed input"},
      {M::residual_in_bf16, "residual in bf16", "prompt", attn_residual, {mlp_residual}, false, "bf16 residual"},
      {M::residual_in_f16, "residual in f16", "outliers", attn_residual, {mlp_residual}, false, "f16 residual"},
      {M::mlp_residual_of_layer_input, "second residual adds the layer's input", "prompt", mlp_residual, {}, false,
       "residual from the layer's input"},
      {M::head_reads_stream, "head reads the stream before the norm", "prompt", lm_head, {}, false, "input not normed"},
      {M::head_shifted, "logits of the position before", "prompt", lm_head, {}, false, "rows one position late"},
      {M::head_capped, "logits capped by 30 tanh(x / 30)", "prompt", lm_head, {}, false, "logits capped at 30"},
      // ops: linear layers
      {M::product_lost, "one product of the sum lost", "odd shapes", down_proj, {}, false, "last product lost"},
      {M::tail_lanes_lost, "products after the last full vector lost", "odd shapes", down_proj, {}, false, "last 5 products lost"},
      {M::tile_rows_lost, "outputs after the last full tile not computed", "odd shapes", up_proj, {}, false,
       "last 1 outputs left at zero"},
      {M::last_token_repeated, "last token's row is that before it", "odd shapes", gate_proj, {}, false, "last row repeats the one before"},
      {M::second_half_lost, "second half of a split sum lost", "prompt", o_proj, {}, false, "last 12 products lost"},
      {M::output_not_cleared, "sums begin with the row before", "prompt", v_proj, {}, false, "sums begin with the row before"},
      {M::bias_twice, "bias added twice", "prompt", q_proj, {}, false, "bias added twice"},
      {M::bias_for_first_token, "bias added to the first token alone", "prompt", k_proj, {}, false, "bias on the first row only"},
      {M::linear_in_tf32, "inputs rounded to TF32", "prompt", gate_proj, {}, false, "TF32 inputs"},
      {M::sum_in_f16, "sum kept in f16", "prompt", down_proj, {}, false, "f16 accumulation"},
      {M::weights_in_bf16, "weights rounded to bf16", "prompt", lm_head, {}, false, "bf16 weights"},
      // ops: mlp
      {M::gelu, "GELU instead of SiLU", "prompt", act, {}, false, "GELU instead of SiLU"},
      {M::relu, "ReLU instead of SiLU", "prompt", act, {}, false, "ReLU instead of SiLU"},
      {M::sigmoid_alone, "sigmoid instead of SiLU", "prompt", act, {}, false, "sigmoid instead of SiLU"},
      {M::silu_of_up, "SiLU of up instead of gate", "prompt", act, {}, false, "gate and up swapped"},
      {M::act_in_bf16, "product of gate and up in bf16", "prompt", act, {}, false, "output rounded to bf16"},
      // ops: attention
      {M::scale_missing, "scores not scaled", "prompt", scores, {}, false, "scale missing"},
      {M::scale_twice, "scores scaled twice", "prompt", scores, {}, false, "scale applied twice"},
      {M::scale_of_hidden, "scores scaled by the hidden size", "prompt", scores, {}, false, "scale by hidden size"},
      {M::scale_off, "scores scaled by 1/sqrt(d + 1)", "prompt", scores, {}, false, "constant factor 0.9258"},
      {M::heads_tiled, "kv heads tiled instead of interleaved", "prompt", scores, {context}, false, "kv heads tiled"},
      {M::scores_in_f16, "scores overflow in f16", "large scores", scores, {}, true, "output rounded to f16"},
      {M::scores_in_tf32, "queries and keys rounded to TF32", "prompt", scores, {}, false, "TF32 inputs"},
      {M::score_product_lost, "last product of a score lost", "odd shapes", scores, {}, false, "last channel lost"},
      {M::score_tile_lost, "keys after the last full tile not scored", "prompt", scores, {}, false, "last 3 keys left at zero"},
      {M::softmax_without_maximum, "softmax without subtracting the maximum", "large scores", probs, {}, true,
       "softmax without the maximum"},
      {M::key_lost_from_softmax, "one key lost from the softmax", "prompt", probs, {}, false, "keys left out, the rest normalised"},
      {M::probs_in_bf16, "probabilities in bf16", "prompt", probs, {}, false, "bf16 probabilities"},
      {M::exponent_in_bf16, "exponents in bf16", "prompt", probs, {}, false, "bf16 exponents"},
      {M::softmax_over_forbidden, "forbidden keys in the denominator", "prompt", probs, {}, false, "forbidden keys in the denominator"},
      {M::softmax_over_heads, "softmax over the heads", "prompt", probs, {}, false, "softmax over the heads axis"},
      {M::dropout_left_on, "dropout left on", "prompt", probs, {}, false, "dropout left on"},
      {M::key_lost_from_context, "own value lost from the context", "prompt", context, {}, false, "newest key lost"},
      {M::context_sum_in_bf16, "context summed in bf16", "prompt", context, {}, false, "bf16 accumulation"},
      {M::value_head_zero, "every head reads the first kv head's values", "prompt", context, {}, false,
       "first kv head for every query head"},
      {M::heads_interleaved, "heads joined the wrong way round", "prompt", context, {}, false, "heads and channels exchanged"},
      // cache
      {M::keys_rotated_twice, "cached keys rotated again", "two turns", past_key, {}, false, "cached keys rotated again"},
      {M::values_rotated, "values rotated too", "prompt", past_value, {}, false, "values rotated"},
      {M::keys_and_values_swapped, "keys and values swapped", "prompt", past_key, {past_value}, false, "keys and values swapped"},
      {M::cache_of_other_layer, "keys written to the layer before", "prompt", past_key, {}, false, ""},
      {M::cache_in_bf16, "cache stored as bf16", "prompt", past_key, {past_value}, false, "bf16 cache"},
      {M::write_index_off, "new tokens written one place too early", "two turns", past_key, {past_value}, false,
       "last slot overwritten"},
      {M::wraps_when_full, "a full cache begins again at its front", "full cache", past_key, {past_value}, false,
       "written over the first slots"},
      {M::stride_of_one_head, "written with the stride of one head", "prompt", past_key, {past_value}, false, "written with the stride of one head"},
      {M::stride_of_batch, "second row of a batch written too early", "batch", past_key, {past_value}, false, "last slot overwritten"},
      {M::prefix_shared, "branches share the prefix's places", "fork", past_key, {past_value}, false, ""},
      {M::prefix_changed, "a branch changes its prefix", "fork", past_key, {}, false, ""},
      {M::length_kept_after_reset, "length kept after a reset", "reset", position_ids, {}, true, "cache length not reset"},
      {M::oldest_evicted, "oldest token evicted while decoding", "two turns", past_key, {past_value}, false, "oldest row evicted"},
      {M::free_slots_attended, "free places of the cache attended", "prompt", probs, {context}, false, "weight lost to places outside the sequence"},
      {M::stale_keys_attended, "keys from before the reset attended", "reset", probs, {context}, false, "weight lost to places outside the sequence"},
      {M::neighbour_attended, "the batch's row before attended", "batch", probs, {context}, false, "weight lost to places outside the sequence"},
  };
  // clang-format on
  return mutations;
}

}  // namespace

std::span<const Mutation> all_mutations() {
  return table();
}

std::span<const Equivalent> all_equivalents() {
  static const std::vector<Equivalent> equivalents = {
      {M::norm_weight_before_cast, "norm weight applied before the cast", "prompt",
       "in f32 the cast changes nothing, wherever it stands; a mistake in half types alone"},
  };
  return equivalents;
}

}  // namespace plumbline::mutants
