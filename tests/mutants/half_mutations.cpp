// The mutants of half types: those of f32 that are mistakes there too, what is left out of them and why, and
// the mistakes that only an engine of a half type can make.
#include <map>
#include <utility>

#include "harness/error.h"
#include "tests/mutants/mutations.h"

namespace plumbline::mutants {
namespace {

using enum Probe;
using M = Mistake;

// Formats in which a line of the tables holds.
enum Where : unsigned { kBf16Once = 1, kBf16Each = 2, kF16Once = 4, kF16Each = 8 };
constexpr unsigned kBf16 = kBf16Once | kBf16Each, kF16 = kF16Once | kF16Each;
constexpr unsigned kOnce = kBf16Once | kF16Once, kEach = kBf16Each | kF16Each, kAll = kOnce | kEach;

unsigned where(const Format& format) {
  const unsigned once = format.storage() == DType::bf16 ? kBf16Once : kF16Once;
  return format.rounds_each() ? 2 * once : once;
}

struct Exemption {
  Mistake mistake;
  unsigned where;
  std::string why;
  bool no_bit_changes = true;
};

const std::vector<Exemption>& exemptions() {
  static const std::string bf16_already = "what it rounds to bf16 is bf16 already";
  static const std::string overflow = "the right engine's scores overflow in f16 in this case";
  static const std::vector<Exemption> list = {
      {M::act_in_bf16, kBf16, bf16_already},
      {M::residual_in_bf16, kBf16, bf16_already},
      {M::residual_in_f16, kF16, "what it rounds to f16 is f16 already"},
      {M::weights_in_bf16, kBf16, bf16_already},
      {M::cos_sin_in_bf16, kBf16Each, bf16_already},
      {M::probs_in_bf16, kBf16Each, bf16_already},
      {M::cache_in_bf16, kBf16, bf16_already},
      {M::half_cut, kBf16, "rows of bf16 have no digits to cut off"},
      {M::half_rounded_twice, kBf16, "rows of bf16 are not changed by rounding them to bf16 first"},
      {M::half_keys_alone, kBf16,
       "values of bf16 need no rounding; only the name of their type would "
       "differ",
       false},
      {M::half_not_read, kBf16, "rows of bf16 are the same before and after"},
      {M::linear_in_tf32, kAll,
       "TF32 has the digits of f16, and more than bf16: its inputs are not "
       "changed"},
      {M::scores_in_tf32, kAll,
       "TF32 has the digits of f16, and more than bf16: its inputs are not "
       "changed"},
      {M::mask_minus_30, kF16Each, "e^-30 is 0 in f16, and so the mask is as good as any"},
      {M::scores_in_f16, kF16Each, overflow, false},
      {M::mask_minus_1e4, kF16Each, overflow, false},
      {M::softmax_without_maximum, kF16Each, overflow, false},
  };
  return list;
}

struct Line {
  unsigned where;
  Mutation mutation;
};

// {half}: the name of the storage type. A mistake of the list for f32 has its
// line there replaced.
const std::vector<Line>& lines() {
  // clang-format off
  static const std::vector<Line> list = {
      // of f32's list, with less to be seen: the rest of what they touch changes by less than half a spacing
      {kAll, {M::eps_hard_coded, "eps 1e-5 instead of the config's 1e-6", "tiny norms", input_layernorm, {}, false, "eps hard-coded 1e-5", {post_attention_layernorm, norm}}},
      {kEach, {M::theta_off, "rope_theta off by a ten-thousandth", "prompt", inv_freq, {}, false, "rope_theta 10001", {cos, sin}}},
      {kEach, {M::inv_freq_in_bf16, "inverse frequencies in bf16", "prompt", inv_freq, {}, false, "output rounded to bf16", {cos, sin}}},
      // rounded too often
      {kAll, {M::partial_sums_rounded, "two partial sums, each rounded", "prompt", down_proj, {}, false, ""}},
      {kAll, {M::sum_in_storage, "running sum kept in the storage type", "prompt", up_proj, {}, false, "{half} accumulation"}},
      {kAll, {M::rounded_before_bias, "rounded before the bias is added", "prompt", q_proj, {}, false, ""}},
      {kAll, {M::logits_rounded_twice, "logits rounded twice, first to the other half type", "prompt", lm_head, {}, false, ""}},
      {kAll, {M::softmax_in_storage, "softmax taken in the storage type", "prompt", probs, {}, false, "softmax in {half}"}},
      {kOnce, {M::angles_in_storage, "cos and sin of rounded angles", "prompt", cos, {sin}, false, "{half} angles"}},
      {kEach, {M::angles_in_storage, "cos and sin of rounded angles", "far out", cos, {sin}, false, "{half} angles"}},
      {kOnce, {M::silu_rounded_first, "silu rounded before the product", "prompt", act, {}, false, "rounded after each operation"}},
      {kOnce, {M::scores_rounded, "scores rounded where f32 is declared", "prompt", scores, {}, false, "output rounded to {half}"}},
      {kOnce, {M::probs_rounded_for_values, "weights rounded for the product with the values", "prompt", context, {}, false, ""}},
      {kOnce, {M::queries_scaled_first, "queries scaled and rounded before the product", "prompt", scores, {}, false, ""}},
      // rounded too seldom, or in another place than is declared
      {kAll, {M::head_not_rounded, "weights of the head not rounded", "prompt", lm_head, {}, false, ""}},
      {kAll, {M::biases_not_rounded, "biases not rounded", "prompt", q_proj, {k_proj, v_proj}, false, ""}},
      {kAll, {M::stream_kept_in_f32, "residual stream kept in f32", "prompt", mlp_residual, {attn_residual}, false, ""}},
      {kAll, {M::head_reads_unrounded_norm, "head reads the norm before it is rounded", "prompt", lm_head, {}, false, ""}},
      {kEach, {M::norm_weight_before_cast, "norm weight applied before the cast", "far out", input_layernorm, {post_attention_layernorm, norm}, false, "rounded once only"}},
      {kEach, {M::silu_rounded_once, "silu not rounded before the product", "far out", act, {}, false, "rounded once only"}},
      {kEach, {M::rope_rounded_once, "products of the rotation not rounded", "far out", q_rope, {k_rope}, false, "rounded once only"}},
      {kEach, {M::scores_rounded_once, "scores not rounded before the scale", "far out", scores, {}, false, "rounded once only"}},
      {kEach, {M::queries_scaled_first, "queries scaled and rounded before the product", "far out", scores, {}, false, ""}},
      // rounded another way
      {kAll, {M::output_cut, "digits cut off instead of rounded", "prompt", v_proj, {}, false, ""}},
      {kAll, {M::ties_away_from_zero, "ties rounded away from zero", "prompt", attn_residual, {mlp_residual}, false, ""}},
      {kBf16, {M::cache_of_other_half, "cache of f16 where bf16 is declared", "prompt", past_key, {past_value}, false, ""}},
  };
  // clang-format on
  return list;
}

Mutation named_for(Mutation mutation, DType storage) {
  const std::string mark = "{half}";
  const std::size_t at = mutation.suspect.find(mark);
  if (at != std::string::npos) mutation.suspect.replace(at, mark.size(), dtype_name(storage));
  return mutation;
}

const Line* line_of(Mistake mistake, unsigned here) {
  for (const Line& line : lines()) {
    if (line.mutation.mistake == mistake && (line.where & here) != 0) return &line;
  }
  return nullptr;
}

const Exemption* exemption_of(Mistake mistake, unsigned here) {
  for (const Exemption& one : exemptions()) {
    if (one.mistake == mistake && (one.where & here) != 0) return &one;
  }
  return nullptr;
}

FormatMutations make(const Format& format) {
  const unsigned here = where(format);
  FormatMutations out;
  for (const Mutation& mutation : all_mutations()) {
    if (const Exemption* one = exemption_of(mutation.mistake, here)) {
      out.left_out.push_back({&mutation, one->why, one->no_bit_changes});
    } else if (line_of(mutation.mistake, here) == nullptr) {
      out.mutations.push_back(mutation);
    }
  }
  for (const Line& line : lines()) {
    if ((line.where & here) != 0) out.mutations.push_back(named_for(line.mutation, format.storage()));
  }
  return out;
}

}  // namespace

const FormatMutations& mutations_in(const Format& format) {
  static std::map<unsigned, FormatMutations> made;
  require(format.half(), "mutants: mutations_in is for half types");
  auto found = made.find(where(format));
  if (found == made.end()) found = made.emplace(where(format), make(format)).first;
  return found->second;
}

}  // namespace plumbline::mutants
