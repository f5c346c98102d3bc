// Suspects of the ops along the residual stream: embedding, norms, residuals, and the MLP's activation.
#include <cmath>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/rounding_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
namespace {

using ops::kUnitRoundoff;

const char* const kEmbedding = "model.embed_tokens.weight";

at::Tensor ids_of(const Scene& s) {
  return s.in.token_ids(s.rows());
}

at::Tensor table(const Scene& s) {
  return s.model.weights.get(kEmbedding);
}

at::Tensor rows_of_table(const Scene& s, const at::Tensor& ids) {
  return s.model.weights.gathered(kEmbedding, ids);
}

// The bits of a half type read as the other one.
at::Tensor misread(const at::Tensor& f64, at::ScalarType stored, at::ScalarType read_as) {
  return f64.to(stored).contiguous().view(read_as).to(at::kDouble);
}

// The bytes of each stored value in the other order.
at::Tensor bytes_swapped(const at::Tensor& f64, at::ScalarType stored) {
  const at::Tensor values = f64.to(stored).contiguous();
  const auto size = static_cast<std::int64_t>(values.element_size());
  const at::Tensor bytes = values.view(at::kByte).view({-1, size}).flip(1).contiguous();
  return bytes.view(stored).view(values.sizes()).to(at::kDouble);
}

// The type that the checkpoint stores: the config's word for it, else the narrowest that holds these values.
at::ScalarType stored_type(const Scene& s, const at::Tensor& values) {
  const std::string& name = s.model.config.dtype;
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16" || rounded_to(values, DType::bf16).equal(values)) return at::kBFloat16;
  if (name == "float16" || rounded_to(values, DType::f16).equal(values)) return at::kHalf;
  return at::kFloat;
}

void add_wrong_rows(Lineup& lineup) {
  lineup.add("id plus one", "ids count from 1, or a special token was inserted into the table",
             [](const Scene& s) {
               return Mistaken{rows_of_table(s, (ids_of(s) + 1).remainder(s.model.config.vocab_size))};
             });
  lineup.add("id minus one", "ids are taken to count from 1", [](const Scene& s) {
    return Mistaken{rows_of_table(s, (ids_of(s) - 1).remainder(s.model.config.vocab_size))};
  });
  lineup.add("table read as [hidden, vocab]", "rows and columns of the table are exchanged",
             [](const Scene& s) {
               const at::Tensor w = table(s);
               return Mistaken{w.reshape({w.size(1), w.size(0)}).index_select(1, ids_of(s)).t().contiguous()};
             });
  if (lineup.scene().model.config.tie_word_embeddings) return;
  lineup.add("rows of lm_head", "the head's weights serve as the embedding, which the config does not tie",
             [](const Scene& s) { return Mistaken{s.model.weights.gathered("lm_head.weight", ids_of(s))}; });
}

void add_wrong_bits(Lineup& lineup) {
  // Only the rows that are read: the table may be large.
  const auto rows = [](const Scene& s) { return rows_of_table(s, ids_of(s)); };
  lineup.add("bf16 read as f16", "the loader takes one half type for the other",
             [=](const Scene& s) { return Mistaken{misread(rows(s), at::kBFloat16, at::kHalf)}; });
  lineup.add("f16 read as bf16", "the loader takes one half type for the other",
             [=](const Scene& s) { return Mistaken{misread(rows(s), at::kHalf, at::kBFloat16)}; });
  lineup.add("bytes swapped", "the stored values are read in the other byte order",
             [=](const Scene& s) { return Mistaken{bytes_swapped(rows(s), stored_type(s, rows(s)))}; });
  lineup.add("bf16 weights", "the table is kept in bf16",
             [=](const Scene& s) { return Mistaken{rounded_to(rows(s), DType::bf16)}; });
  lineup.add("f16 weights", "the table is kept in f16",
             [=](const Scene& s) { return Mistaken{rounded_to(rows(s), DType::f16)}; });
}

Mistaken normed(const at::Tensor& y) {
  return {y, ops::rms_norm_bound(y)};
}

Mistaken with_eps(const Scene& s, double eps) {
  return normed(ops::rms_norm(s.input(0), s.weight(), eps));
}

// Of what an RMS norm divides by.
at::Tensor mean_square(const at::Tensor& x) {
  return x.square().mean(-1, /*keepdim=*/true);
}

void add_wrong_weight(Lineup& lineup) {
  lineup.add("norm weight missing", "the normed value is not multiplied by the weight", [](const Scene& s) {
    const at::Tensor x = s.input(0);
    return normed(ops::rms_norm(x, at::ones({x.size(1)}, x.options()), s.model.config.rms_norm_eps));
  });
  lineup.add("norm weight plus one", "1 + w, as Gemma stores it", [](const Scene& s) {
    return normed(ops::rms_norm(s.input(0), s.weight() + 1.0, s.model.config.rms_norm_eps));
  });
  const OpSite site = lineup.scene().site;
  std::vector<std::pair<OpSite, std::string>> others;
  if (site.probe == Probe::input_layernorm) {
    others.push_back({{Probe::post_attention_layernorm, site.layer}, "post_attention_layernorm"});
  } else if (site.probe == Probe::post_attention_layernorm) {
    others.push_back({{Probe::input_layernorm, site.layer}, "input_layernorm"});
  } else {
    const int last = static_cast<int>(lineup.scene().model.config.num_hidden_layers) - 1;
    others.push_back({{Probe::input_layernorm, last}, "the last layer's input_layernorm"});
    others.push_back({{Probe::post_attention_layernorm, last}, "the last layer's post_attention_layernorm"});
  }
  for (const auto& [number, name] : lineup.scene().other_layers()) {
    others.push_back({{site.probe, number}, name});
  }
  for (const auto& [other, name] : others) {
    lineup.add("weights of " + name, "another norm's weights are looked up", [other = other](const Scene& s) {
      return normed(
          ops::rms_norm(s.input(0), op_weight(s.model, other, ".weight"), s.model.config.rms_norm_eps));
    });
  }
  lineup.add("weight applied before the norm", "x w is normed, not x", [](const Scene& s) {
    const at::Tensor x = s.input(0) * s.weight();
    return normed(ops::rms_norm(x, at::ones({x.size(1)}, x.options()), s.model.config.rms_norm_eps));
  });
}

void add_wrong_eps(Lineup& lineup) {
  const double right = lineup.scene().model.config.rms_norm_eps;
  const std::vector<std::pair<double, std::string>> usual{
      {1e-5, "1e-5"}, {1e-6, "1e-6"}, {1e-8, "1e-8"}, {1e-12, "1e-12"}};
  for (const auto& [eps, name] : usual) {
    if (eps == right) continue;
    lineup.add("eps hard-coded " + name, "rms_norm_eps of the config is not read",
               [eps = eps](const Scene& s) { return with_eps(s, eps); });
  }
  lineup.add("eps missing", "nothing is added to the mean of squares",
             [](const Scene& s) { return with_eps(s, 0); });
  lineup.add("eps outside the root", "x / (sqrt(mean) + eps)", [](const Scene& s) {
    const at::Tensor x = s.input(0);
    return normed(s.weight() * (x / (mean_square(x).sqrt() + s.model.config.rms_norm_eps)));
  });
}

// The mean of squares from one running sum that is rounded to a half type after each term.
at::Tensor running_mean_square(const at::Tensor& x, at::ScalarType type) {
  at::Tensor sum = at::zeros({x.size(0)}, at::kFloat);
  const at::Tensor squares = x.to(at::kFloat).square().t().contiguous();
  for (std::int64_t k = 0; k < x.size(1); ++k) sum = (sum + squares[k]).to(type).to(at::kFloat);
  return (sum.to(at::kDouble) / static_cast<double>(x.size(1))).unsqueeze(1);
}

void add_wrong_formula(Lineup& lineup) {
  lineup.add("norm left out", "the input goes on as it is", [](const Scene& s) {
    return Mistaken{s.input(0), at::zeros_like(s.input(0))};
  });
  lineup.add("mean subtracted", "a LayerNorm, not an RMS norm", [](const Scene& s) {
    const at::Tensor x = s.input(0), d = x - x.mean(-1, /*keepdim=*/true);
    const Mistaken made = normed(ops::rms_norm(d, s.weight(), s.model.config.rms_norm_eps));
    // The mean's own rounding, n terms of it.
    const double root_n = std::sqrt(static_cast<double>(x.size(1)));
    const at::Tensor size = x.abs().mean(-1, true) * at::rsqrt(mean_square(d)) * s.weight().abs();
    return Mistaken{made.output, made.bound + kUnitRoundoff * root_n * size};
  });
  lineup.add(
      "sum of squares instead of the mean", "the sum is not divided by the number of features",
      [](const Scene& s) {
        const at::Tensor x = s.input(0);
        return normed(s.weight() * (x * at::rsqrt(x.square().sum(-1, true) + s.model.config.rms_norm_eps)));
      });
  lineup.add("square root missing", "x / (mean of squares + eps)", [](const Scene& s) {
    const at::Tensor x = s.input(0);
    Mistaken made = normed(s.weight() * (x / (mean_square(x) + s.model.config.rms_norm_eps)));
    made.bound = 2.0 * made.bound;
    return made;
  });
  lineup.add("divided by n - 1", "the unbiased variance", [](const Scene& s) {
    const at::Tensor x = s.input(0);
    const double n = static_cast<double>(x.size(1));
    const at::Tensor variance = x.square().sum(-1, true) / (n - 1) + s.model.config.rms_norm_eps;
    return normed(s.weight() * (x * at::rsqrt(variance)));
  });
  lineup.add("one mean for all rows", "the sum runs over the tokens too", [](const Scene& s) {
    const at::Tensor x = s.input(0);
    return normed(s.weight() * (x * at::rsqrt(x.square().mean() + s.model.config.rms_norm_eps)));
  });
  if (lineup.scene().site.probe == Probe::post_attention_layernorm) {
    lineup.add("reads the stream before attention", "the attention's residual is skipped",
               [](const Scene& s) {
                 return normed(ops::rms_norm(s.in.residual_stream(s.layer(), s.rows()), s.weight(),
                                             s.model.config.rms_norm_eps));
               });
  }
}

void add_norm_precision(Lineup& lineup) {
  const auto narrow = [](const Scene& s, at::ScalarType type) {
    const at::Tensor x = s.input(0);
    return normed(s.weight() * (x * at::rsqrt(running_mean_square(x, type) + s.model.config.rms_norm_eps)));
  };
  lineup.add("sum of squares in f16", "one running sum in f16",
             [=](const Scene& s) { return narrow(s, at::kHalf); });
  lineup.add("sum of squares in bf16", "one running sum in bf16",
             [=](const Scene& s) { return narrow(s, at::kBFloat16); });
  lineup.add("bf16 input", "the input is rounded before it is normed", [](const Scene& s) {
    return normed(
        ops::rms_norm(rounded_to(s.input(0), DType::bf16), s.weight(), s.model.config.rms_norm_eps));
  });
  const auto right = [](const Scene& s) {
    return ops::rms_norm(s.input(0), s.weight(), s.model.config.rms_norm_eps);
  };
  suspect_roundings(lineup, right, [right](const Scene& s, DType dtype) {
    const double eps = s.model.config.rms_norm_eps;
    return ops::rms_norm_rounded(s.input(0), s.weight(), eps, right(s), dtype).emulated;
  });
  const DType storage = lineup.scene().model.storage;
  if (!is_half(storage)) return;
  lineup.add("normed in " + std::string(dtype_name(storage)),
             "squares, their mean and its root are rounded to the half type, too", [=](const Scene& s) {
               const at::ScalarType type = torch_type(storage);
               const at::Tensor x = s.input(0).to(type);
               const at::Tensor mean = x.pow(2).mean(-1, /*keepdim=*/true);
               const at::Tensor y = s.weight().to(type) * (x * at::rsqrt(mean + s.model.config.rms_norm_eps));
               return normed(y.to(at::kDouble));
             });
}

Mistaken sum_of(const Scene& s, const at::Tensor& sum) {
  return {rounded_to(sum, s.model.storage)};
}

}  // namespace

void suspect_embedding(Lineup& lineup) {
  lineup.add("embedding scaled by sqrt(hidden)", "as Gemma does", [](const Scene& s) {
    const at::Tensor rows = rows_of_table(s, ids_of(s));
    const at::Tensor y = rows * std::sqrt(static_cast<double>(rows.size(1)));
    return Mistaken{y, 4.0 * kUnitRoundoff * y.abs()};  // the factor's rounding and the product's
  });
  add_wrong_rows(lineup);
  add_wrong_bits(lineup);
}

void suspect_norm(Lineup& lineup) {
  add_wrong_weight(lineup);
  add_wrong_eps(lineup);
  add_wrong_formula(lineup);
  add_norm_precision(lineup);
}

void suspect_residual(Lineup& lineup) {
  lineup.add("residual missing", "only the branch goes on",
             [](const Scene& s) { return Mistaken{s.input(1)}; });
  lineup.add("branch missing", "only the stream goes on",
             [](const Scene& s) { return Mistaken{s.input(0)}; });
  const bool mlp = lineup.scene().site.probe == Probe::mlp_residual;
  lineup.add("residual from the normed input", "the norm's output is added, not its input",
             [=](const Scene& s) {
               const at::Tensor x = s.probe(mlp ? Probe::post_attention_layernorm : Probe::input_layernorm);
               return sum_of(s, x + s.input(1));
             });
  if (mlp) {
    lineup.add("residual from the layer's input", "the attention's residual is skipped", [](const Scene& s) {
      return sum_of(s, s.in.residual_stream(s.layer(), s.rows()) + s.input(1));
    });
  } else {
    lineup.add("residual from the layer before", "the stream is taken one layer late", [](const Scene& s) {
      if (s.layer() == 0) throw NotReplayable("the first layer");
      return sum_of(s, s.in.residual_stream(s.layer() - 1, s.rows()) + s.input(1));
    });
  }
  // Either way of adding twice in f32; the gate of one more rounding.
  const auto twice = [](const at::Tensor& sum) { return Mistaken{sum, 4.0 * kUnitRoundoff * sum.abs()}; };
  lineup.add("residual added twice", "2 x + branch",
             [=](const Scene& s) { return twice(2.0 * s.input(0) + s.input(1)); });
  lineup.add("branch added twice", "x + 2 branch",
             [=](const Scene& s) { return twice(s.input(0) + 2.0 * s.input(1)); });
  lineup.add("branch subtracted", "x - branch",
             [](const Scene& s) { return sum_of(s, s.input(0) - s.input(1)); });
  for (const auto& [type, name] : {std::pair{DType::bf16, "bf16"}, std::pair{DType::f16, "f16"}}) {
    lineup.add(std::string(name) + " inputs", "stream and branch are rounded before they are added",
               [type = type](const Scene& s) {
                 return sum_of(s, rounded_to(s.input(0), type) + rounded_to(s.input(1), type));
               });
    lineup.add(
        std::string(name) + " branch", "the branch is rounded before it is added",
        [type = type](const Scene& s) { return sum_of(s, s.input(0) + rounded_to(s.input(1), type)); });
    lineup.add(std::string(name) + " residual", "the sum is kept in a half type",
               [type = type](const Scene& s) {
                 return Mistaken{rounded_to(rounded_to(s.input(0) + s.input(1), DType::f32), type)};
               });
  }
}

void suspect_silu_mul(Lineup& lineup) {
  using Activation = std::function<at::Tensor(const at::Tensor& gate, const at::Tensor& up)>;
  // tanh, erf and e^x each cost some units of the last place of a factor, which the right op's bound allows
  // where they do not cancel.
  const auto add = [&](const char* name, const char* meaning, const Activation& formula) {
    lineup.add(name, meaning, [=](const Scene& s) {
      const at::Tensor gate = s.input(0), up = s.input(1), y = formula(gate, up);
      const at::Tensor size = (gate.abs() + 1.0) * (up.abs() + 1.0);
      return Mistaken{y, ops::silu_mul_bound(gate, up, y) + 0.5 * kUnitRoundoff * size};
    });
  };
  const auto silu = [](const at::Tensor& x) { return at::silu(x); };
  add("GELU instead of SiLU", "x Phi(x), by erf",
      [](const at::Tensor& g, const at::Tensor& u) { return at::gelu(g) * u; });
  add("GELU (tanh) instead of SiLU", "the tanh form of GELU",
      [](const at::Tensor& g, const at::Tensor& u) { return at::gelu(g, "tanh") * u; });
  add("quick GELU instead of SiLU", "x sigmoid(1.702 x)",
      [](const at::Tensor& g, const at::Tensor& u) { return g * at::sigmoid(1.702 * g) * u; });
  add("ReLU instead of SiLU", "max(0, x)",
      [](const at::Tensor& g, const at::Tensor& u) { return at::relu(g) * u; });
  add("sigmoid instead of SiLU", "the gate itself is not multiplied in",
      [](const at::Tensor& g, const at::Tensor& u) { return at::sigmoid(g) * u; });
  add("gate and up swapped", "the activation is applied to up",
      [=](const at::Tensor& g, const at::Tensor& u) { return silu(u) * g; });
  add("no activation on gate", "gate times up",
      [](const at::Tensor& g, const at::Tensor& u) { return g * u; });
  add("up left out", "the activation alone", [=](const at::Tensor& g, const at::Tensor&) { return silu(g); });
  add("up added instead of multiplied", "silu(gate) + up",
      [=](const at::Tensor& g, const at::Tensor& u) { return silu(g) + u; });
  add("activation on the product", "silu(gate up)",
      [=](const at::Tensor& g, const at::Tensor& u) { return silu(g * u); });
  add("sigmoid of the wrong sign", "x / (1 + e^x)",
      [](const at::Tensor& g, const at::Tensor& u) { return g * at::sigmoid(-g) * u; });
  add("bf16 inputs", "gate and up are rounded first", [=](const at::Tensor& g, const at::Tensor& u) {
    return silu(rounded_to(g, DType::bf16)) * rounded_to(u, DType::bf16);
  });
  add("f16 inputs", "gate and up are rounded first", [=](const at::Tensor& g, const at::Tensor& u) {
    return silu(rounded_to(g, DType::f16)) * rounded_to(u, DType::f16);
  });
  const auto right = [](const Scene& s) { return ops::silu_mul(s.input(0), s.input(1)); };
  suspect_roundings(lineup, right, [right](const Scene& s, DType dtype) {
    return ops::silu_mul_rounded(s.input(0), s.input(1), right(s), dtype).emulated;
  });
}

}  // namespace plumbline::reference
