// Suspects of linear layers: weights that were loaded or laid out wrong, inputs of another place, products
// that were lost, narrow arithmetic.
#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
namespace {

constexpr double kRunningSumCost = 4e8;  // products of a sum that is simulated step by step

// x w^T + b, and its own bound.
Mistaken product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& b) {
  Mistaken made{at::empty({x.size(0), w.size(0)}, x.options())};
  made.bound = at::empty_like(made.output);
  ops::linear_into(made.output, x, w, b);
  ops::linear_bound_into(made.bound, x, w, b);
  return made;
}

Mistaken with_weight(const Scene& scene, const at::Tensor& w) {
  return product(scene.input(0), w.contiguous(), scene.weight(".bias"));
}
Mistaken with_input(const Scene& scene, const at::Tensor& x) {
  return product(x.contiguous(), scene.weight(), scene.weight(".bias"));
}

// The probe that this one's weights may be taken for, where they have the same shape.
std::vector<Probe> siblings(Probe probe) {
  switch (probe) {
    case Probe::q_proj:
      return {Probe::k_proj, Probe::v_proj};
    case Probe::k_proj:
      return {Probe::v_proj, Probe::q_proj};
    case Probe::v_proj:
      return {Probe::k_proj, Probe::q_proj};
    case Probe::gate_proj:
      return {Probe::up_proj};
    case Probe::up_proj:
      return {Probe::gate_proj};
    default:
      return {};
  }
}

std::string short_name(Probe probe) {
  const std::string name(probe_spec(probe).name);
  return name.substr(name.find('.') + 1);
}

void add_load(Lineup& lineup) {
  const Scene& here = lineup.scene();
  const bool has_bias = here.weight(".bias").defined();
  const at::Tensor right = here.weight();
  if (has_bias) {
    lineup.add("bias missing", "the bias is not loaded or not added",
               [](const Scene& s) { return product(s.input(0), s.weight(), at::Tensor()); });
    lineup.add("bias added twice", "the product starts from the bias and it is added again",
               [](const Scene& s) { return product(s.input(0), s.weight(), 2.0 * s.weight(".bias")); });
    lineup.add("bias on the first row only", "the bias is not added to the other tokens' rows",
               [](const Scene& s) {
                 Mistaken made = product(s.input(0), s.weight(), at::Tensor());
                 made.output[0] += s.weight(".bias");
                 made.bound[0] += ops::kUnitRoundoff * made.output[0].abs();
                 return made;
               });
  }
  if (right.size(0) == right.size(1)) {
    lineup.add("weight transposed", "a square matrix is read as [in, out]",
               [](const Scene& s) { return with_weight(s, s.weight().t()); });
  }
  for (const Probe sibling : siblings(here.site.probe)) {
    const OpSite other{sibling, here.site.layer};
    if (!op_weight(here.model, other, ".weight").sizes().equals(right.sizes())) continue;
    const bool mlp = sibling == Probe::gate_proj || sibling == Probe::up_proj;
    lineup.add(mlp ? "gate and up swapped" : "weights of " + short_name(sibling),
               "two projections of the same shape are taken for each other when loading",
               [=](const Scene& s) {
                 return product(s.input(0), op_weight(s.model, other, ".weight"),
                                op_weight(s.model, other, ".bias"));
               });
    if (!has_bias) continue;
    lineup.add(
        "bias of " + short_name(sibling), "the weight is right, the bias another projection's",
        [=](const Scene& s) { return product(s.input(0), s.weight(), op_weight(s.model, other, ".bias")); });
  }
  for (const auto& [number, name] : here.other_layers()) {
    lineup.add("weights of " + name,
               "the layer's number is off by one, or constant, where weights are looked up",
               [number = number](const Scene& s) {
                 const OpSite other{s.site.probe, number};
                 return product(s.input(0), op_weight(s.model, other, ".weight"),
                                op_weight(s.model, other, ".bias"));
               });
  }
}

// Rows of q_proj and k_proj in the order that interleaved rotary pairs want, as converters of checkpoints
// write them; and the way back.
at::Tensor reordered(const at::Tensor& w, std::int64_t heads, bool to_interleaved) {
  const std::int64_t half = w.size(0) / heads / 2;
  const at::Tensor parts = to_interleaved ? w.view({heads, 2, half, -1}) : w.view({heads, half, 2, -1});
  return parts.transpose(1, 2).reshape(w.sizes());
}

void add_layout(Lineup& lineup) {
  const Scene& here = lineup.scene();
  const Probe probe = here.site.probe;
  if (probe == Probe::q_proj || probe == Probe::k_proj) {
    const std::int64_t heads = probe == Probe::q_proj ? here.model.config.num_attention_heads
                                                      : here.model.config.num_key_value_heads;
    for (const bool to_interleaved : {true, false}) {
      const std::string name = to_interleaved ? "rows permuted for interleaved rotary pairs"
                                              : "rows permuted back from interleaved rotary pairs";
      for (const bool bias_too : {true, false}) {
        if (!bias_too && !here.weight(".bias").defined()) continue;
        lineup.add(bias_too ? name : name + ", the bias not",
                   "the checkpoint was converted for the other pairing of rotary channels",
                   [=](const Scene& s) {
                     const at::Tensor b = s.weight(".bias");
                     const bool moved = bias_too && b.defined();
                     return product(s.input(0), reordered(s.weight(), heads, to_interleaved),
                                    moved ? reordered(b, heads, to_interleaved) : b);
                   });
      }
    }
  }
  if (probe == Probe::o_proj) {
    lineup.add("heads not put side by side", "the context is read as [head_dim, heads]", [](const Scene& s) {
      const at::Tensor x = s.input(0);
      const std::int64_t heads = s.model.config.num_attention_heads;
      return with_input(s, x.view({x.size(0), heads, -1}).transpose(1, 2).reshape(x.sizes()));
    });
  }
  if (probe == Probe::down_proj) {
    lineup.add("reads up_proj", "the activation's product is not what goes in",
               [](const Scene& s) { return with_input(s, s.probe(Probe::up_proj)); });
    lineup.add("reads gate_proj", "the activation's product is not what goes in",
               [](const Scene& s) { return with_input(s, s.probe(Probe::gate_proj)); });
  }
}

void add_input(Lineup& lineup) {
  const Probe source = probe_spec(lineup.scene().site.probe).inputs.at(0).probe;
  if (probe_spec(source).op != OpClass::rms_norm) return;
  lineup.add("input not normed", "the residual stream goes in, not the norm's output", [](const Scene& s) {
    if (s.site.probe == Probe::lm_head) {
      return with_input(s,
                        s.in.residual_stream(static_cast<int>(s.model.config.num_hidden_layers), s.rows()));
    }
    const bool mlp = s.site.probe == Probe::gate_proj || s.site.probe == Probe::up_proj;
    return with_input(s, mlp ? s.probe(Probe::attn_residual) : s.in.residual_stream(s.layer(), s.rows()));
  });
}

void add_head(Lineup& lineup) {
  const Scene& here = lineup.scene();
  if (here.site.probe != Probe::lm_head) return;
  if (!here.model.config.tie_word_embeddings) {
    lineup.add("lm_head tied to the embedding", "the config does not tie them", [](const Scene& s) {
      return with_weight(s, s.model.weights.get("model.embed_tokens.weight"));
    });
  }
  lineup.add("last rows of the vocabulary cut off", "padding rows of lm_head are dropped",
             [](const Scene& s) {
               const std::int64_t vocab = s.actual->shape[s.actual->shape.rank() - 1];
               if (vocab <= 0 || vocab >= s.weight().size(0))
                 throw NotReplayable("no fewer logits than rows");
               return with_weight(s, s.weight().narrow(0, 0, vocab));
             });
  lineup.add("logits capped at 30", "30 tanh(y / 30), as Gemma does", [](const Scene& s) {
    const Mistaken right = with_weight(s, s.weight());
    return Mistaken{30.0 * at::tanh(right.output / 30.0), right.bound};
  });
}

// The one input feature whose product, left out in every row, brings the answer nearest to the subject's.
std::int64_t lost_feature(const Scene& scene) {
  const at::Tensor x = scene.input(0), w = scene.weight();
  if (!(scene.actual->shape == Shape{x.size(0), w.size(0)})) throw NotReplayable("another shape");
  const at::Tensor missing =
      at::linear(
          x, w,
          scene.weight(".bias").defined() ? std::optional<at::Tensor>(scene.weight(".bias")) : std::nullopt) -
      to_f64_torch(*scene.actual);
  const at::Tensor product = (at::matmul(x.t(), missing) * w.t()).sum(1);  // <missing, x_k w_k>
  const at::Tensor size = x.square().sum(0) * w.square().sum(0);
  return (2.0 * product - size).argmax().item<std::int64_t>();
}

// How many products must be left out at an end of the sums to come nearest to the subject; 0 where that
// cannot be told.
struct LostAtEnds {
  std::int64_t first = 0, last = 0;
};

// Told by the outputs that are furthest off.
LostAtEnds lost_at_ends(const Scene& s) {
  constexpr std::int64_t kOutputs = 16;
  try {
    const at::Tensor x = s.input(0), w = s.weight();
    const at::Tensor right = ops::linear(x, w, s.weight(".bias"));
    const at::Tensor missing = (right - s.output(right)).flatten();
    if (!missing.isfinite().all().item<bool>()) return {};
    const at::Tensor worst =
        std::get<1>(missing.abs().topk(std::min(kOutputs, missing.numel())));  // [outputs]
    const at::Tensor products = x.index_select(0, worst.div(w.size(0), "floor")) *
                                w.index_select(0, worst.remainder(w.size(0)));  // [outputs, in]
    const at::Tensor sought = missing.index_select(0, worst).unsqueeze(1);
    const auto nearest = [&](const at::Tensor& from_end) {
      const at::Tensor distance = (from_end.cumsum(1) - sought).square().sum(0);
      const std::int64_t lost = distance.argmin().item<std::int64_t>() + 1;
      return lost < w.size(1) ? lost : 0;
    };
    return {nearest(products), nearest(products.flip(1))};
  } catch (const NotReplayable&) {
    return {};
  }
}

void add_lost(Lineup& lineup) {
  const LostAtEnds ends = lost_at_ends(lineup.scene());
  for (const bool first : {false, true}) {
    const std::int64_t lost = first ? ends.first : ends.last;
    if (lost == 0) continue;
    const std::string end = first ? "first " : "last ";
    const std::string name = lost == 1 ? end + "product lost" : end + std::to_string(lost) + " products lost";
    const char* const meaning = first ? "the sum's loop begins late, or a part of a split sum is lost"
                                      : "the sum's loop ends early: look at what is left over from whole "
                                        "vectors or tiles; or a part of a "
                                        "split sum is lost";
    lineup.add(name, meaning, [=](const Scene& s) {
      const std::int64_t from = first ? lost : 0, kept = s.weight().size(1) - lost;
      return product(s.input(0).narrow(1, from, kept).contiguous(),
                     s.weight().narrow(1, from, kept).contiguous(), s.weight(".bias"));
    });
  }
  lineup.add("one product lost", "one feature of the input is left out in every row", [](const Scene& s) {
    const at::Tensor x = s.input(0).clone();
    const std::int64_t lost = lost_feature(s);
    if (lost == 0 || lost == x.size(1) - 1)
      throw NotReplayable("the first or the last: suspects of their own");
    x.select(1, lost).zero_();
    return with_input(s, x);
  });
}

void add_buffers(Lineup& lineup) {
  // The sums of all rows up to this one, each added in f32.
  lineup.add("sums begin with the row before", "the accumulators are not cleared between rows",
             [](const Scene& s) {
               const Mistaken right = with_weight(s, s.weight());
               const at::Tensor y = right.output.cumsum(0);
               return Mistaken{y, right.bound.cumsum(0) + ops::kUnitRoundoff * y.abs().cumsum(0)};
             });
  lineup.add("added to the layer before's output",
             "the buffer is not cleared: the sums begin with what it held", [](const Scene& s) {
               if (s.layer() < 1) throw NotReplayable("no layer before");
               const at::Tensor held = s.in.probe({s.site.probe, s.layer() - 1}, s.rows());
               const Mistaken right = with_weight(s, s.weight());
               const at::Tensor y = right.output + held;
               return Mistaken{y, right.bound + ops::kUnitRoundoff * (y.abs() + held.abs())};
             });
}

// One running sum that is rounded to a half type after each term.
Mistaken running_sum(const Scene& s, at::ScalarType type) {
  const at::Tensor x = s.input(0), w = s.weight(), b = s.weight(".bias");
  const double cost = static_cast<double>(x.size(0)) * static_cast<double>(w.numel());
  if (cost > kRunningSumCost) throw NotReplayable("too large a product for sums step by step");
  at::Tensor sum = at::zeros({x.size(0), w.size(0)}, at::kFloat);
  const at::Tensor xt = x.t().to(at::kFloat).contiguous(), wt = w.t().to(at::kFloat).contiguous();
  for (std::int64_t k = 0; k < x.size(1); ++k) {
    sum = at::addcmul(sum, xt[k].unsqueeze(1), wt[k].unsqueeze(0)).to(type).to(at::kFloat);
  }
  if (b.defined()) sum = sum + b.to(at::kFloat);
  return {sum.to(at::kDouble)};
}

void add_precision(Lineup& lineup) {
  using Round = at::Tensor (*)(const at::Tensor&);
  const Round bf16 = [](const at::Tensor& x) { return rounded_to(x, DType::bf16); };
  const Round f16 = [](const at::Tensor& x) { return rounded_to(x, DType::f16); };
  const std::vector<std::pair<std::string, Round>> kinds{
      {"TF32", to_tf32}, {"TF32 (cut)", cut_to_tf32}, {"bf16", bf16}, {"f16", f16}};
  for (const auto& [name, round] : kinds) {
    lineup.add(name + " inputs", "inputs and weights are rounded before they are multiplied",
               [round = round](const Scene& s) {
                 return product(round(s.input(0)), round(s.weight()), s.weight(".bias"));
               });
  }
  for (const auto& [name, round] : {kinds[2], kinds[3]}) {
    lineup.add(name + " weights", "the weights are kept in a narrower type than the checkpoint's",
               [round = round](const Scene& s) {
                 const at::Tensor b = s.weight(".bias");
                 return product(s.input(0), round(s.weight()), b.defined() ? round(b) : b);
               });
    lineup.add(name + " activations", "the input is rounded, the weights are not",
               [round = round](const Scene& s) { return with_input(s, round(s.input(0))); });
  }
  lineup.add("f16 accumulation", "one running sum in f16",
             [](const Scene& s) { return running_sum(s, at::kHalf); });
  lineup.add("bf16 accumulation", "one running sum in bf16",
             [](const Scene& s) { return running_sum(s, at::kBFloat16); });
}

}  // namespace

void suspect_linear(Lineup& lineup) {
  add_load(lineup);
  add_layout(lineup);
  add_input(lineup);
  add_head(lineup);
  add_lost(lineup);
  add_buffers(lineup);
  add_precision(lineup);
}

}  // namespace plumbline::reference
