// Suspects of attention: scores, softmax, context, and the three as one kernel.
#include <cmath>
#include <limits>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// q: [heads, rows, head_dim]; k, v as the query heads see them: [heads, keys, head_dim]; allowed: [rows,
// keys]
struct Attention {
  at::Tensor q, k, v, allowed;
  double scale;
};

at::Tensor by_heads(const at::Tensor& x) {
  return x.transpose(0, 1).contiguous();
}

at::Tensor queries(const Scene& s, Probe probe = Probe::q_rope) {
  const std::int64_t rows = s.rows();
  return by_heads(s.in.probe({probe, s.layer()}, rows).view({rows, -1, s.model.config.head_dim}));
}

at::Tensor grouped(const Scene& s, const at::Tensor& cache) {
  return ops::expand_groups(cache, s.model.sizes.heads_per_kv_head).contiguous();
}

at::Tensor cache(const Scene& s, Probe probe) {
  return s.in.cache({probe, s.layer()});
}

// Query head h reads kv head h % kv_heads.
at::Tensor tiled(const Scene& s, const at::Tensor& cache) {
  return cache.transpose(0, 1).repeat({s.model.sizes.heads_per_kv_head, 1, 1});
}

at::Tensor first_head(const Scene& s, const at::Tensor& cache) {
  return cache.transpose(0, 1).narrow(0, 0, 1).repeat({s.model.config.num_attention_heads, 1, 1});
}

bool slides(const Scene& s) {
  return s.model.config.layer_types.at(static_cast<std::size_t>(s.layer())) == LayerType::sliding_attention;
}

Attention right_of(const Scene& s) {
  const bool values = s.site.probe == Probe::context;
  return {queries(s), grouped(s, cache(s, Probe::past_key)),
          values ? grouped(s, cache(s, Probe::past_value)) : at::Tensor(), s.in.allowed(s.layer(), s.rows()),
          s.model.sizes.attention_scale};
}

// A mistake in what attention reads or is scaled by: the same for scores alone and for the fused kernel.
struct Change {
  std::string name;
  std::string meaning;
  std::function<void(const Scene&, Attention&)> make;
};

std::vector<Change> scale_changes(const Scene& here) {
  const auto to = [](double scale) { return [=](const Scene&, Attention& a) { a.scale = scale; }; };
  const double right = here.model.sizes.attention_scale;
  const auto root = [](std::int64_t n) { return 1.0 / std::sqrt(static_cast<double>(n)); };
  std::vector<Change> list{{"scale missing", "scores are not divided by sqrt(head_dim)", to(1.0)},
                           {"scale applied twice", "1 / head_dim", to(right * right)}};
  const ModelConfig& config = here.model.config;
  const auto add = [&](const char* name, double scale) {
    for (const Change& known : list) {
      Attention probe{};
      known.make(here, probe);
      if (probe.scale == scale || scale == right) return;
    }
    list.push_back({name, "the wrong size under the root", to(scale)});
  };
  add("scale by hidden size", root(config.hidden_size));
  add("scale by the size of all heads", root(here.model.sizes.query_dim));
  add("scale by the number of heads", root(config.num_attention_heads));
  add("scale by half of head_dim", root(config.head_dim / 2));
  add("scale inverted", std::sqrt(static_cast<double>(config.head_dim)));
  return list;
}

at::Tensor rotate_again(const Scene& s, const at::Tensor& cache) {
  const at::Tensor slots = at::arange(cache.size(0), at::kLong);
  const at::Tensor angles = ops::rotary_angles(slots, s.in.frequencies().table).to(at::kDouble);
  return ops::rope(cache, angles.cos(), angles.sin());
}

// The step's keys as the projection gave them, behind the cached ones.
at::Tensor keys_before_rotation(const Scene& s) {
  const std::int64_t tokens = s.in.tokens(), past = s.in.past();
  const at::Tensor k = s.in.probe({Probe::k_proj, s.layer()}, tokens)
                           .view({tokens, s.model.config.num_key_value_heads, s.model.config.head_dim});
  return at::cat({cache(s, Probe::past_key).narrow(0, 0, past), k});
}

std::vector<Change> key_changes(const Scene& here) {
  const auto key = [](at::Tensor (*made)(const Scene&)) {
    return [=](const Scene& s, Attention& a) { a.k = grouped(s, made(s)); };
  };
  std::vector<Change> list{
      {"kv heads tiled", "query head h reads kv head h mod kv_heads, not h div group",
       [](const Scene& s, Attention& a) {
         a.k = tiled(s, cache(s, Probe::past_key));
         if (a.v.defined()) a.v = tiled(s, cache(s, Probe::past_value));
       }},
      {"first kv head for every query head", "the kv head's index is not used",
       [](const Scene& s, Attention& a) {
         a.k = first_head(s, cache(s, Probe::past_key));
         if (a.v.defined()) a.v = first_head(s, cache(s, Probe::past_value));
       }},
      {"keys not rotated", "the keys' projection is read", key(keys_before_rotation)},
      {"queries not rotated", "the queries' projection is read",
       [](const Scene& s, Attention& a) { a.q = queries(s, Probe::q_proj); }},
      {"neither queries nor keys rotated", "both projections are read",
       [](const Scene& s, Attention& a) {
         a.q = queries(s, Probe::q_proj);
         a.k = grouped(s, keys_before_rotation(s));
       }},
      {"cached keys rotated again", "keys are rotated when they are read, too",
       key([](const Scene& s) { return rotate_again(s, cache(s, Probe::past_key)); })},
      {"values in place of keys", "the scores read the other cache",
       key([](const Scene& s) { return cache(s, Probe::past_value); })},
      {"keys one slot late", "slot j is read at j - 1",
       key([](const Scene& s) { return cache(s, Probe::past_key).roll(1, 0); })},
      {"keys one slot early", "slot j is read at j + 1",
       key([](const Scene& s) { return cache(s, Probe::past_key).roll(-1, 0); })},
      {"last channel lost", "the dot product ends one term early",
       [](const Scene&, Attention& a) {
         a.q = a.q.narrow(2, 0, a.q.size(2) - 1).contiguous();
         a.k = a.k.narrow(2, 0, a.k.size(2) - 1).contiguous();
       }},
  };
  for (const auto& [number, name] : here.other_layers()) {
    list.push_back(
        {"keys of " + name, "another layer's cache is read", [number = number](const Scene& s, Attention& a) {
           a.k = grouped(s, s.in.cache({Probe::past_key, number}));
         }});
  }
  return list;
}

std::vector<Change> input_precision() {
  using Round = at::Tensor (*)(const at::Tensor&);
  const auto both = [](Round round) {
    return [=](const Scene&, Attention& a) {
      a.q = round(a.q);
      a.k = round(a.k);
    };
  };
  const char* const meaning = "queries and keys are rounded before they are multiplied";
  return {{"TF32 inputs", meaning, both(to_tf32)},
          {"TF32 (cut) inputs", meaning, both(cut_to_tf32)},
          {"bf16 inputs", meaning, both([](const at::Tensor& x) { return rounded_to(x, DType::bf16); })},
          {"f16 inputs", meaning, both([](const at::Tensor& x) { return rounded_to(x, DType::f16); })}};
}

Mistaken scores_of(const Attention& a) {
  return {ops::scores(a.q, a.k, a.scale), ops::scores_bound(a.q, a.k, a.scale)};
}

Mistaken attended(const Attention& a) {
  const at::Tensor p = ops::softmax(ops::scores(a.q, a.k, a.scale), a.allowed);
  return {ops::context(p, a.v), ops::fused_attention_bound(a.q, a.k, a.v, a.scale, a.allowed)};
}

void add_changes(Lineup& lineup, const std::vector<Change>& changes, Mistaken (*formula)(const Attention&)) {
  for (const Change& change : changes) {
    lineup.add(change.name, change.meaning, [make = change.make, formula](const Scene& s) {
      Attention attention = right_of(s);
      make(s, attention);
      return formula(attention);
    });
  }
}

at::Tensor recorded_scores(const Scene& s) {
  return s.in.probe({Probe::scores, s.layer()}, s.rows());  // [heads, rows, keys]
}

at::Tensor right_mask(const Scene& s) {
  return s.in.allowed(s.layer(), s.rows());
}

// Rows in which no key is allowed leave open what stands there.
Mistaken softmaxed(const at::Tensor& scores, const at::Tensor& allowed) {
  const at::Tensor some = allowed.any(-1, /*keepdim=*/true);
  const at::Tensor mask = allowed.logical_or(some.logical_not());
  const at::Tensor p = ops::softmax(scores, mask);
  return {p, ops::softmax_bound(scores, p, mask), some};
}

// Without the maximum subtracted: in f32, whose exponent overflows from 88.7 on, and loses its bits below
// -87.3, where engines differ.
Mistaken without_maximum(const Scene& s) {
  const at::Tensor scores = recorded_scores(s), mask = right_mask(s);
  const at::Tensor e = scores.to(at::kFloat).exp().masked_fill(mask.logical_not(), 0.0).to(at::kDouble);
  const at::Tensor sum = e.sum(-1, true);
  const double largest = std::numeric_limits<float>::max();
  const at::Tensor p =
      (e / at::where(sum > largest, at::full_like(sum, kInfinity), sum)).masked_fill(mask.logical_not(), 0.0);
  const at::Tensor exact = scores.exp().masked_fill(mask.logical_not(), 0.0);
  const auto subnormal = [](const at::Tensor& x) { return x.lt(0x1p-126).logical_and(x.gt(0x1p-150)); };
  const at::Tensor open = subnormal(exact).logical_or(subnormal(exact.sum(-1, true)));
  return {p, ops::softmax_bound(scores, at::nan_to_num(p, 0.0, 0.0, 0.0), mask), open.logical_not()};
}

void add_softmax_masks(Lineup& lineup) {
  for (const MistakenMask& mask : mistaken_masks(lineup.scene(), slides(lineup.scene()))) {
    lineup.add(mask.name, mask.meaning, [allowed = mask.allowed](const Scene& s) {
      return softmaxed(recorded_scores(s), allowed(s));
    });
  }
  lineup.add("forbidden scores set to 0", "the mask is multiplied in before the softmax", [](const Scene& s) {
    const at::Tensor mask = right_mask(s);
    return softmaxed(recorded_scores(s).masked_fill(mask.logical_not(), 0.0), at::ones_like(mask));
  });
  for (const double weak : {1e4, 100.0, 10.0}) {
    const std::string name = weak == 1e4 ? "-1e4" : (weak == 100.0 ? "-100" : "-10");
    lineup.add("mask too weak (" + name + ")", "a finite number is added where the mask forbids",
               [=](const Scene& s) {
                 const at::Tensor mask = right_mask(s);
                 const at::Tensor scores = recorded_scores(s);
                 return softmaxed(at::where(mask, scores, scores - weak), at::ones_like(mask));
               });
  }
}

void add_softmax_formula(Lineup& lineup) {
  const auto add = [&](const char* name, const char* meaning,
                       std::function<at::Tensor(const Scene&, const at::Tensor&)> change) {
    lineup.add(name, meaning,
               [=](const Scene& s) { return softmaxed(change(s, recorded_scores(s)), right_mask(s)); });
  };
  lineup.add("softmax without the maximum", "e^s overflows for large scores", without_maximum);
  add("scale applied again", "the scores are scaled already",
      [](const Scene& s, const at::Tensor& x) { return x * s.model.sizes.attention_scale; });
  add("scale undone", "the scores are multiplied by sqrt(head_dim)",
      [](const Scene& s, const at::Tensor& x) { return x / s.model.sizes.attention_scale; });
  add("powers of 2 instead of e", "2^s", [](const Scene&, const at::Tensor& x) { return x * std::log(2.0); });
  add("bf16 scores", "the scores are rounded before the softmax",
      [](const Scene&, const at::Tensor& x) { return rounded_to(x, DType::bf16); });
  add("f16 scores", "the scores are rounded before the softmax",
      [](const Scene&, const at::Tensor& x) { return rounded_to(x, DType::f16); });
  add("scores capped at 50", "50 tanh(s / 50), as Gemma does",
      [](const Scene&, const at::Tensor& x) { return 50.0 * at::tanh(x / 50.0); });
  lineup.add("softmax over the heads axis", "the sum runs over heads", [](const Scene& s) {
    const at::Tensor p = at::softmax(recorded_scores(s), 0).masked_fill(right_mask(s).logical_not(), 0.0);
    return Mistaken{p, ops::softmax_bound(recorded_scores(s), p, right_mask(s))};
  });
  lineup.add("softmax over the queries axis", "the sum runs over queries", [](const Scene& s) {
    const at::Tensor mask = right_mask(s), scores = recorded_scores(s);
    const at::Tensor p = at::softmax(scores.masked_fill(mask.logical_not(), -kInfinity), 1);
    return Mistaken{at::nan_to_num(p, 0.0), ops::softmax_bound(scores, at::nan_to_num(p, 0.0), mask)};
  });
  lineup.add("not normalised", "e^(s - max) is not divided by the sum", [](const Scene& s) {
    const at::Tensor mask = right_mask(s), x = recorded_scores(s).masked_fill(mask.logical_not(), -kInfinity);
    const at::Tensor e = at::exp(x - x.amax(-1, true));
    return Mistaken{e, ops::softmax_bound(recorded_scores(s), e, mask)};
  });
  lineup.add("denominator plus one", "1 + the sum, a sink that Qwen2 does not have", [](const Scene& s) {
    const at::Tensor mask = right_mask(s), x = recorded_scores(s).masked_fill(mask.logical_not(), -kInfinity);
    const at::Tensor largest = x.amax(-1, true), e = at::exp(x - largest);
    const at::Tensor p = e / (e.sum(-1, true) + at::exp(-largest));
    return Mistaken{p, ops::softmax_bound(recorded_scores(s), p, mask)};
  });
  lineup.add("no softmax", "the scores themselves are the weights", [](const Scene& s) {
    const at::Tensor x = recorded_scores(s).masked_fill(right_mask(s).logical_not(), 0.0);
    return Mistaken{x, at::zeros_like(x)};
  });
}

// p: [heads, rows, keys]; v: [heads, keys, head_dim]
Mistaken summed(const Scene& s, const at::Tensor& p, const at::Tensor& v) {
  return {ops::context(p, v), ops::context_bound(p, v, right_mask(s))};
}

at::Tensor recorded_probs(const Scene& s) {
  return s.in.probe({Probe::probs, s.layer()}, s.rows());
}

at::Tensor values(const Scene& s) {
  return grouped(s, cache(s, Probe::past_value));
}

void add_context_values(Lineup& lineup) {
  const auto add = [&](std::string name, const char* meaning, std::function<at::Tensor(const Scene&)> v) {
    lineup.add(std::move(name), meaning, [v = std::move(v)](const Scene& s) {
      return summed(s, recorded_probs(s), v(s).contiguous());
    });
  };
  add("kv heads tiled", "query head h reads kv head h mod kv_heads, not h div group",
      [](const Scene& s) { return tiled(s, cache(s, Probe::past_value)); });
  add("first kv head for every query head", "the kv head's index is not used",
      [](const Scene& s) { return first_head(s, cache(s, Probe::past_value)); });
  add("keys in place of values", "the sum reads the other cache",
      [](const Scene& s) { return grouped(s, cache(s, Probe::past_key)); });
  add("values one slot late", "slot j is read at j - 1",
      [](const Scene& s) { return grouped(s, cache(s, Probe::past_value).roll(1, 0)); });
  add("values one slot early", "slot j is read at j + 1",
      [](const Scene& s) { return grouped(s, cache(s, Probe::past_value).roll(-1, 0)); });
  for (const auto& [number, name] : lineup.scene().other_layers()) {
    add("values of " + name, "another layer's cache is read", [number = number](const Scene& s) {
      return grouped(s, s.in.cache({Probe::past_value, number}));
    });
  }
}

void add_context_weights(Lineup& lineup) {
  const auto add = [&](const char* name, const char* meaning,
                       std::function<at::Tensor(const Scene&, const at::Tensor&)> change) {
    lineup.add(name, meaning, [=](const Scene& s) {
      return summed(s, change(s, recorded_probs(s)).contiguous(), values(s));
    });
  };
  add("newest key lost", "the sum ends before the query's own key", [](const Scene& s, const at::Tensor& p) {
    const at::Tensor mask = right_mask(s);
    const at::Tensor own = mask.logical_and(mask.to(at::kLong).flip(-1).cumsum(-1).flip(-1).eq(1));
    return p.masked_fill(own, 0.0);
  });
  add("first key lost", "the sum starts at the second key", [](const Scene&, const at::Tensor& p) {
    return at::cat({at::zeros_like(p.narrow(2, 0, 1)), p.narrow(2, 1, p.size(2) - 1)}, 2);
  });
  add("cached keys lost", "only the step's own keys are summed", [](const Scene& s, const at::Tensor& p) {
    if (s.in.past() == 0) throw NotReplayable("an empty cache");
    const at::Tensor kept = p.clone();
    kept.narrow(2, 0, s.in.past()).zero_();
    return kept;
  });
  add("weights of the next head", "the head's index is off by one",
      [](const Scene&, const at::Tensor& p) { return p.roll(-1, 0); });
  add("bf16 weights", "the probabilities are rounded before the sum",
      [](const Scene&, const at::Tensor& p) { return rounded_to(p, DType::bf16); });
  add("f16 weights", "the probabilities are rounded before the sum",
      [](const Scene&, const at::Tensor& p) { return rounded_to(p, DType::f16); });
  using Round = at::Tensor (*)(const at::Tensor&);
  const std::vector<std::pair<std::string, Round>> kinds{
      {"TF32", to_tf32},
      {"TF32 (cut)", cut_to_tf32},
      {"bf16", [](const at::Tensor& x) { return rounded_to(x, DType::bf16); }},
      {"f16", [](const at::Tensor& x) { return rounded_to(x, DType::f16); }}};
  for (const auto& [name, round] : kinds) {
    lineup.add(
        name + " inputs", "weights and values are rounded before they are multiplied",
        [round = round](const Scene& s) { return summed(s, round(recorded_probs(s)), round(values(s))); });
  }
}

// What the heads' sums are after they were put into rows wrong.
void add_context_layout(Lineup& lineup) {
  const auto add = [&](const char* name, const char* meaning, at::Tensor (*joined)(const at::Tensor&)) {
    lineup.add(name, meaning, [=](const Scene& s) {
      const Mistaken right = summed(s, recorded_probs(s), values(s));
      const auto moved = [&](const at::Tensor& x) {  // [rows, heads * head_dim] -> [heads, rows, head_dim]
        return joined(x.view({x.size(0), s.model.config.num_attention_heads, -1}).transpose(0, 1))
            .reshape(x.sizes());
      };
      return Mistaken{moved(right.output), moved(right.bound)};
    });
  };
  add("heads not put side by side", "[heads, tokens, head_dim] is read as [tokens, heads, head_dim]",
      [](const at::Tensor& x) { return x.contiguous(); });
  add("heads and channels exchanged", "each row holds [head_dim, heads]", [](const at::Tensor& x) {
    return x.permute({1, 2, 0}).contiguous();
  });
}

void add_fused_masks(Lineup& lineup) {
  for (const MistakenMask& mask : mistaken_masks(lineup.scene(), slides(lineup.scene()))) {
    lineup.add(mask.name, mask.meaning, [allowed = mask.allowed](const Scene& s) {
      Attention a = right_of(s);
      const at::Tensor changed = allowed(s), some = changed.any(-1, true);
      a.allowed = changed.logical_or(some.logical_not());
      Mistaken made = attended(a);
      made.evidence = some;
      return made;
    });
  }
}

}  // namespace

void suspect_scores(Lineup& lineup) {
  add_changes(lineup, scale_changes(lineup.scene()), scores_of);
  add_changes(lineup, key_changes(lineup.scene()), scores_of);
  add_changes(lineup, input_precision(), scores_of);
  lineup.add("scores capped at 50", "50 tanh(s / 50), as Gemma does", [](const Scene& s) {
    const Mistaken right = scores_of(right_of(s));
    return Mistaken{50.0 * at::tanh(right.output / 50.0), right.bound};
  });
  lineup.add("scores in f16", "the product overflows before it is scaled", [](const Scene& s) {
    const Attention a = right_of(s);
    const Mistaken raw = scores_of({a.q, a.k, a.v, a.allowed, 1.0});
    return Mistaken{rounded_to(raw.output, DType::f16) * a.scale, raw.bound * a.scale};
  });
}

void suspect_softmax(Lineup& lineup) {
  add_softmax_masks(lineup);
  add_softmax_formula(lineup);
}

void suspect_context(Lineup& lineup) {
  add_context_values(lineup);
  add_context_weights(lineup);
  add_context_layout(lineup);
}

void suspect_fused_attention(Lineup& lineup) {
  add_changes(lineup, scale_changes(lineup.scene()), attended);
  add_changes(lineup, key_changes(lineup.scene()), attended);
  lineup.add("keys and values swapped", "each cache is read for the other", [](const Scene& s) {
    Attention a = right_of(s);
    std::swap(a.k, a.v);
    return attended(a);
  });
  add_fused_masks(lineup);
  add_changes(lineup, input_precision(), attended);
  lineup.add("bf16 probabilities", "the weights are rounded before they are multiplied with the values",
             [](const Scene& s) {
               const Attention a = right_of(s);
               const at::Tensor p = ops::softmax(ops::scores(a.q, a.k, a.scale), a.allowed);
               return Mistaken{ops::context(rounded_to(p, DType::bf16), a.v), attended(a).bound};
             });
}

}  // namespace plumbline::reference
