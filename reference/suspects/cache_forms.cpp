// Suspects of caches in all their forms: layouts and packings in longer buffers, rings, half types.
#include <algorithm>

#include "reference/internal/convert_torch.h"
#include "reference/internal/suspects_cache_torch.h"

namespace plumbline::reference {
namespace {

// [slots, heads, dim] of which the first head's first places are known, and nothing else.
Mistaken known_in_front(const Scene& s, const at::Tensor& values, const at::Tensor& known) {
  Mistaken made = stored(s, values);
  made.evidence = known.expand_as(values);
  return made;
}

at::Tensor need_heads(const Scene& s) {
  const at::Tensor cache = updated(s);
  if (cache.size(1) == 1) throw NotReplayable("one head: both layouts are the same");
  return cache;
}

// Where a buffer has more slots than tokens, only what lies in front of the first free slot is known.
void add_layouts(Lineup& lineup) {
  lineup.add("[slots, kv_heads] read as [kv_heads, slots]", "in a buffer of more slots than tokens",
             [](const Scene& s) {
               const at::Tensor cache = need_heads(s);
               const at::Tensor flat = cache.flatten(0, 1).narrow(0, 0, cache.size(0));
               at::Tensor values = at::zeros_like(cache);
               at::Tensor known = at::zeros({1, cache.size(1), 1}, at::kBool);
               values.select(1, 0).copy_(flat);
               known.select(1, 0).fill_(true);
               return known_in_front(s, values, known);
             });
  lineup.add("[kv_heads, slots] read as [slots, kv_heads]", "in a buffer of more slots than tokens",
             [](const Scene& s) {
               const at::Tensor cache = need_heads(s);
               const std::int64_t tokens = cache.size(0), heads = cache.size(1);
               const at::Tensor values = at::zeros_like(cache).flatten(0, 1);
               const at::Tensor known = at::zeros({tokens * heads, 1}, at::kBool);
               values.narrow(0, 0, tokens).copy_(cache.select(1, 0));
               known.narrow(0, 0, tokens).fill_(true);
               return known_in_front(s, values.view_as(cache), known.view({tokens, heads, 1}));
             });
}

// The other part's whole cache: values of keys, keys of values.
at::Tensor other_part(const Scene& s) {
  return s.in.updated_cache({is_key(s) ? Probe::past_value : Probe::past_key, s.layer()});
}

// Keys and values alternate: a row too far is the other part's, of the next row for values, of the one before
// for keys.
Mistaken one_row_off(const Scene& s, const at::Tensor& rows) {
  const std::int64_t count = rows.size(0) - 1;
  const at::Tensor free = at::zeros_like(rows.narrow(0, 0, 1));
  const at::Tensor written = at::ones_like(rows.narrow(0, 0, count), at::kBool);
  const at::Tensor unknown = at::zeros_like(free, at::kBool);
  Mistaken made = is_key(s) ? stored(s, at::cat({free, rows.narrow(0, 0, count)}))
                            : stored(s, at::cat({rows.narrow(0, 1, count), free}));
  made.evidence = is_key(s) ? at::cat({unknown, written}) : at::cat({written, unknown});
  return made;
}

void add_packings(Lineup& lineup) {
  lineup.add("packed by token, read one row off", "keys and values alternate; an offset is one row too far",
             [](const Scene& s) {
               const at::Tensor other = other_part(s);
               Mistaken made = one_row_off(s, other.flatten(1, 2));
               return Mistaken{made.output.view_as(other), {}, made.evidence.view_as(other)};
             });
  lineup.add("packed by head, read one row off", "the same, where they alternate head by head",
             [](const Scene& s) {
               const at::Tensor other = other_part(s);
               if (other.size(1) == 1) throw NotReplayable("one head: the same as by token");
               Mistaken made = one_row_off(s, other.flatten(0, 1));
               return Mistaken{made.output.view_as(other), {}, made.evidence.view_as(other)};
             });
}

ForgottenRows need_forgotten(const Scene& s) {
  if (s.in.forgotten().count == 0) throw NotReplayable("nothing has to be forgotten");
  return s.in.forgotten();
}

void add_rings(Lineup& lineup) {
  lineup.add("newest rows forgotten", "a full ring lets the last ones go instead of the oldest",
             [](const Scene& s) {
               const ForgottenRows lost = need_forgotten(s);
               const at::Tensor old = s.in.previous_cache(s.site);
               return stored(s, at::cat({old.narrow(0, 0, old.size(0) - lost.count), rows_of(s)}));
             });
  lineup.add("prefill's rows forgotten", "a full ring lets rows go that should stay", [](const Scene& s) {
    const ForgottenRows lost = need_forgotten(s);
    if (lost.begin == 0) throw NotReplayable("none has to stay");
    const at::Tensor old = s.in.previous_cache(s.site);
    return stored(s, at::cat({old.narrow(0, lost.count, old.size(0) - lost.count), rows_of(s)}));
  });
  // Token j of the ring lies in slot j modulo its size.
  lineup.add("ring read from its first slot", "its start is not moved on", [](const Scene& s) {
    const std::int64_t kept = need_forgotten(s).begin;
    const at::Tensor cache = updated(s);
    const std::int64_t slots = cache.size(0) - kept;
    const std::int64_t start = (s.in.tokens_before() + s.in.tokens() - kept) % slots;
    return stored(s, at::cat({cache.narrow(0, 0, kept), cache.narrow(0, kept, slots).roll(start, 0)}));
  });
}

// Towards zero: one step back where rounding went away from it. The bits of a half type count its sizes.
at::Tensor cut_to(const at::Tensor& f64, DType type) {
  const at::Tensor nearest = f64.to(torch_type(type)).contiguous();
  const at::Tensor beyond = nearest.to(at::kDouble).abs().gt(f64.abs());
  const at::Tensor bits = nearest.view(at::kShort) - beyond.to(at::kShort);
  return bits.contiguous().view(torch_type(type)).to(at::kDouble);
}

// In another half type before. What the cache held is rounded already.
void add_rounding(Lineup& lineup) {
  const DType kept = lineup.scene().in.cache_dtype();
  const bool half = kept == DType::bf16 || kept == DType::f16;
  if (half) {
    lineup.add("not rounded", "the new rows are kept as they were", [](const Scene& s) {
      return Mistaken{at::cat({before(s), rows_of(s)})};
    });
  }
  for (const auto& [type, name] : {std::pair{DType::bf16, "bf16"}, std::pair{DType::f16, "f16"}}) {
    lineup.add("cut to " + std::string(name), "digits are cut off where they should be rounded",
               [type = type](const Scene& s) {
                 return stored(s, at::cat({before(s), cut_to(rows_of(s), type)}));
               });
    if (!half || type == kept) continue;
    lineup.add("rounded twice, first to " + std::string(name), "then to what the cache keeps",
               [type = type](const Scene& s) {
                 return stored(s, at::cat({before(s), rounded_to(rows_of(s), type)}));
               });
  }
}

}  // namespace

void suspect_cache_forms(Lineup& lineup) {
  add_layouts(lineup);
  add_packings(lineup);
  add_rings(lineup);
  add_rounding(lineup);
}

}  // namespace plumbline::reference
