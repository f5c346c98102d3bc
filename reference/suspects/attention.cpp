// Suspects of attention: scores, context, and all of it as one kernel. Those of the softmax are in
// softmax.cpp.
#include <cmath>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
namespace {

constexpr double kRunningSumCost = 4e8;  // products of a sum that is simulated step by step

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

// A cache of half type whose new rows are read as they were before they were rounded.
at::Tensor new_rows_not_rounded(const Scene& s, Probe cached, Probe made) {
  if (const DType kept = s.in.cache_dtype(); kept != DType::bf16 && kept != DType::f16)
    throw NotReplayable("the cache is of no half type");
  const at::Tensor rows = cache(s, cached).clone();
  const std::int64_t tokens = s.in.tokens();
  const at::Tensor last = rows.narrow(0, rows.size(0) - tokens, tokens);
  last.copy_(s.in.probe({made, s.layer()}, tokens).view_as(last));
  return rows;
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
      {"new keys not rounded", "the step's own keys are read before they are rounded to what the cache keeps",
       key([](const Scene& s) { return new_rows_not_rounded(s, Probe::past_key, Probe::k_rope); })},
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

Mistaken scores_of(const Scene&, const Attention& a) {
  return {ops::scores(a.q, a.k, a.scale), ops::scores_bound(a.q, a.k, a.scale)};
}

Mistaken attended(const Scene& s, const Attention& a) {
  const at::Tensor p = ops::softmax(ops::scores(a.q, a.k, a.scale), a.allowed);
  return {ops::context(p, a.v), fused_bound(s.model, s.in, a.q, a.k, a.v, a.scale, a.allowed)};
}

void add_changes(Lineup& lineup, const std::vector<Change>& changes,
                 Mistaken (*formula)(const Scene&, const Attention&)) {
  for (const Change& change : changes) {
    lineup.add(change.name, change.meaning, [make = change.make, formula](const Scene& s) {
      Attention attention = right_of(s);
      make(s, attention);
      return formula(s, attention);
    });
  }
}

at::Tensor right_mask(const Scene& s) {
  return s.in.allowed(s.layer(), s.rows());
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
  add("new values not rounded",
      "the step's own values are read before they are rounded to what the cache keeps",
      [](const Scene& s) { return grouped(s, new_rows_not_rounded(s, Probe::past_value, Probe::v_proj)); });
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

// One running sum over the keys that is rounded to a half type after each term.
Mistaken running_context(const Scene& s, at::ScalarType type) {
  const at::Tensor p = recorded_probs(s).to(at::kFloat), v = values(s).to(at::kFloat);
  const double cost = static_cast<double>(p.numel()) * static_cast<double>(v.size(2));
  if (cost > kRunningSumCost) throw NotReplayable("too large a sum to take step by step");
  at::Tensor sum = at::zeros({p.size(0), p.size(1), v.size(2)}, at::kFloat);
  for (std::int64_t k = 0; k < p.size(2); ++k) {
    sum = (sum + p.narrow(2, k, 1) * v.narrow(1, k, 1)).to(type).to(at::kFloat);
  }
  return {sum.to(at::kDouble).transpose(0, 1).reshape({p.size(1), -1})};
}

void add_context_sums(Lineup& lineup) {
  lineup.add("bf16 accumulation", "one running sum over the keys in bf16",
             [](const Scene& s) { return running_context(s, at::kBFloat16); });
  lineup.add("f16 accumulation", "one running sum over the keys in f16",
             [](const Scene& s) { return running_context(s, at::kHalf); });
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
  for (const MistakenMask& mask : mistaken_masks(lineup.scene(), lineup.scene().slides())) {
    lineup.add(mask.name, mask.meaning, [allowed = mask.allowed](const Scene& s) {
      Attention a = right_of(s);
      const at::Tensor changed = allowed(s), some = changed.any(-1, true);
      a.allowed = changed.logical_or(some.logical_not());
      Mistaken made = attended(s, a);
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
    const Mistaken right = scores_of(s, right_of(s));
    return Mistaken{50.0 * at::tanh(right.output / 50.0), right.bound};
  });
  suspect_roundings(
      lineup,
      [](const Scene& s) {
        const Attention a = right_of(s);
        return ops::scores(a.q, a.k, a.scale);
      },
      [](const Scene& s, DType dtype) {
        const Attention a = right_of(s);
        return ops::scores_rounded(a.q, a.k, a.scale, dtype).emulated;
      });
  lineup.add("scores in f16", "the product overflows before it is scaled", [](const Scene& s) {
    const Attention a = right_of(s);
    const Mistaken raw = scores_of(s, {a.q, a.k, a.v, a.allowed, 1.0});
    return Mistaken{rounded_to(raw.output, DType::f16) * a.scale, raw.bound * a.scale};
  });
}

void suspect_context(Lineup& lineup) {
  add_context_values(lineup);
  add_context_weights(lineup);
  add_context_sums(lineup);
  add_context_layout(lineup);
}

void suspect_fused_attention(Lineup& lineup) {
  add_changes(lineup, scale_changes(lineup.scene()), attended);
  add_changes(lineup, key_changes(lineup.scene()), attended);
  lineup.add("keys and values swapped", "each cache is read for the other", [](const Scene& s) {
    Attention a = right_of(s);
    std::swap(a.k, a.v);
    return attended(s, a);
  });
  add_fused_masks(lineup);
  add_changes(lineup, input_precision(), attended);
  lineup.add("bf16 probabilities", "the weights are rounded before they are multiplied with the values",
             [](const Scene& s) {
               const Attention a = right_of(s);
               const at::Tensor p = ops::softmax(ops::scores(a.q, a.k, a.scale), a.allowed);
               return Mistaken{ops::context(rounded_to(p, DType::bf16), a.v), attended(s, a).bound};
             });
}

}  // namespace plumbline::reference
