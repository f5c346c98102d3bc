// Suspects of the cache update: what was written, and where.
#include <algorithm>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/suspects_cache_torch.h"

namespace plumbline::reference {

bool is_key(const Scene& s) {
  return s.site.probe == Probe::past_key;
}

at::Tensor rows_of(const Scene& s, Probe probe, int layer) {
  const std::int64_t tokens = s.in.tokens();
  return s.in.probe({probe, layer}, tokens)
      .view({tokens, s.model.config.num_key_value_heads, s.model.config.head_dim});
}

at::Tensor rows_of(const Scene& s) {
  return rows_of(s, is_key(s) ? Probe::k_rope : Probe::v_proj, s.layer());
}

at::Tensor updated(const Scene& s) {
  return s.in.updated_cache(s.site);
}

at::Tensor before(const Scene& s) {
  return updated(s).narrow(0, 0, s.in.past());
}

Mistaken stored(const Scene& s, const at::Tensor& cache) {
  return {rounded_to(cache, s.in.cache_dtype())};
}

Slots written(const at::Tensor& rows) {
  return {rows, at::ones_like(rows, at::kBool)};
}

Slots unwritten(const Scene& s, std::int64_t count) {
  const at::Tensor rows = rows_of(s);
  const at::Tensor values = at::zeros({count, rows.size(1), rows.size(2)}, rows.options());
  return {values, at::zeros_like(values, at::kBool)};
}

Mistaken stored(const Scene& s, const std::vector<Slots>& parts) {
  std::vector<at::Tensor> values, evidence;
  for (const Slots& part : parts) {
    values.push_back(part.values);
    evidence.push_back(part.written);
  }
  Mistaken made = stored(s, at::cat(values));
  made.evidence = at::cat(evidence);
  return made;
}

namespace {

at::Tensor need_past(const Scene& s) {
  if (s.in.past() == 0) throw NotReplayable("an empty cache");
  return before(s);
}

at::Tensor rotated(const Scene& s, const at::Tensor& x, const at::Tensor& positions) {
  const at::Tensor angles = ops::rotary_angles(positions, s.in.frequencies().table).to(at::kDouble);
  const double factor = s.model.config.rope.attention_factor;
  return ops::rope(x, angles.cos() * factor, angles.sin() * factor);
}

// Positions of the slots: counted from 0, without what a ring has forgotten.
at::Tensor slots(const Scene& s) {
  const std::int64_t held = s.in.past() + s.in.tokens(), first = s.in.forgotten().begin;
  const std::int64_t forgotten = s.in.tokens_before() + s.in.tokens() - held;
  if (forgotten <= 0) return at::arange(held, at::kLong);
  return at::cat({at::arange(first, at::kLong), at::arange(first + forgotten, held + forgotten, at::kLong)});
}

// The rounding of one rotation by the engine's own cos and sin.
Mistaken with_rotation(const Scene& s, const at::Tensor& y, const at::Tensor& x) {
  return {y, 2.0 * ops::rope_bound(x, s.model.config.rope.attention_factor)};
}

void add_contents(Lineup& lineup) {
  lineup.add("keys and values swapped", "each cache holds what belongs to the other", [](const Scene& s) {
    const Probe other = is_key(s) ? Probe::v_proj : Probe::k_rope;
    return stored(s, at::cat({before(s), rows_of(s, other, s.layer())}));
  });
  if (is_key(lineup.scene())) {
    lineup.add("keys not rotated", "the projection is stored", [](const Scene& s) {
      return stored(s, at::cat({before(s), rows_of(s, Probe::k_proj, s.layer())}));
    });
    lineup.add("keys rotated twice", "what is stored is rotated again", [](const Scene& s) {
      const at::Tensor rows = rows_of(s);
      const at::Tensor again = rotated(s, rows, s.in.positions(s.in.tokens()));
      return with_rotation(s, at::cat({before(s), again}), updated(s));
    });
    lineup.add("cached keys rotated again", "the whole cache is rotated at each step", [](const Scene& s) {
      const at::Tensor old = need_past(s);
      const at::Tensor again = rotated(s, old, slots(s).narrow(0, 0, s.in.past()));
      return with_rotation(s, at::cat({again, rows_of(s)}), updated(s));
    });
    lineup.add("all keys rotated again", "the whole cache and the new keys are rotated once more",
               [](const Scene& s) { return with_rotation(s, rotated(s, updated(s), slots(s)), updated(s)); });
  } else {
    lineup.add("values rotated", "values are rotated as keys are", [](const Scene& s) {
      const at::Tensor rows = rotated(s, rows_of(s), s.in.positions(s.in.tokens()));
      return with_rotation(s, at::cat({before(s), rows}), updated(s));
    });
  }
  for (const auto& [number, name] : lineup.scene().other_layers()) {
    lineup.add("cache of " + name, "the layer's number is off by one, or constant, where slots are looked up",
               [number = number](const Scene& s) {
                 const Probe probe = is_key(s) ? Probe::k_rope : Probe::v_proj;
                 const OpSite other{s.site.probe, number};
                 const at::Tensor old =
                     s.in.past() == 0 ? before(s) : s.in.updated_cache(other).narrow(0, 0, s.in.past());
                 return stored(s, at::cat({old, rows_of(s, probe, number)}));
               });
  }
}

// Rows that lie head_dim apart, not kv_heads * head_dim: each is written over all but the first head of the
// one before.
Mistaken with_stride_of_one_head(const Scene& s) {
  const at::Tensor rows = rows_of(s);
  const std::int64_t past = s.in.past(), tokens = rows.size(0), heads = rows.size(1);
  if (heads == 1) throw NotReplayable("one head: the stride is right");
  const Slots free = unwritten(s, tokens);
  const at::Tensor memory =
      at::cat({before(s), free.values}).flatten(0, 1).clone();  // [slots * heads, head_dim]
  const at::Tensor known = at::cat({written(before(s)).written, free.written}).flatten(0, 1).clone();
  for (std::int64_t i = 0; i < tokens; ++i) {
    memory.narrow(0, past + i, heads).copy_(rows[i]);
    known.narrow(0, past + i, heads).fill_(true);
  }
  Mistaken made = stored(s, memory.view({past + tokens, heads, -1}));
  made.evidence = known.view({past + tokens, heads, -1});
  return made;
}

void add_slots(Lineup& lineup) {
  lineup.add("slot shifted by one", "new rows are written one slot late", [](const Scene& s) {
    const at::Tensor rows = rows_of(s);
    return stored(s, {written(before(s)), unwritten(s, 1), written(rows.narrow(0, 0, rows.size(0) - 1))});
  });
  lineup.add("last slot overwritten", "new rows are written one slot early", [](const Scene& s) {
    const at::Tensor old = before(s), rows = rows_of(s);
    // Without earlier slots the first row goes where the sequence does not begin yet.
    const std::int64_t lost = s.in.past() == 0 ? 1 : 0;
    return stored(s, {written(old.narrow(0, 0, s.in.past() - 1 + lost)),
                      written(rows.narrow(0, lost, rows.size(0) - lost)), unwritten(s, 1)});
  });
  lineup.add("slots rotated by one", "every slot holds the one before, the first holds the last",
             [](const Scene& s) { return stored(s, updated(s).roll(1, 0)); });
  lineup.add("new rows in front", "the new rows are put before the cached ones", [](const Scene& s) {
    need_past(s);
    return stored(s, at::cat({rows_of(s), before(s)}));
  });
  lineup.add("cached rows lost", "what the cache held before the step is gone", [](const Scene& s) {
    return stored(s, at::cat({at::zeros_like(need_past(s)), rows_of(s)}));
  });
  lineup.add("new rows not written", "the step's slots stay empty", [](const Scene& s) {
    return stored(s, at::cat({before(s), at::zeros_like(rows_of(s))}));
  });
  lineup.add("written over the first slots", "the write index starts at 0 again", [](const Scene& s) {
    const at::Tensor old = need_past(s), rows = rows_of(s);
    const std::int64_t over = std::min(rows.size(0), s.in.past());
    return stored(s, {written(rows), written(old.narrow(0, over, s.in.past() - over)), unwritten(s, over)});
  });
  lineup.add(
      "oldest row evicted", "the cached rows move up by one slot, as if the cache were full",
      [](const Scene& s) {
        const at::Tensor old = need_past(s);
        return stored(s, {written(old.narrow(0, 1, s.in.past() - 1)), unwritten(s, 1), written(rows_of(s))});
      });
  lineup.add("oldest rows evicted", "the cached rows move up by as many slots as the step has rows",
             [](const Scene& s) {
               const std::int64_t count = s.in.tokens();
               if (count < 2 || count >= s.in.past())
                 throw NotReplayable("one row, or more than the cache holds");
               const at::Tensor old = need_past(s);
               return stored(s, {written(old.narrow(0, count, s.in.past() - count)), unwritten(s, count),
                                 written(rows_of(s))});
             });
  lineup.add("written with the stride of one head", "the rows of several kv heads are written one head apart",
             with_stride_of_one_head);
}

void add_layout(Lineup& lineup) {
  lineup.add("written as [kv_heads, slots]", "heads and slots are exchanged in the new rows",
             [](const Scene& s) {
               const at::Tensor rows = rows_of(s);
               return stored(s, at::cat({before(s), rows.transpose(0, 1).reshape(rows.sizes())}));
             });
  lineup.add("read as [kv_heads, slots]", "heads and slots are exchanged in the whole cache",
             [](const Scene& s) {
               const at::Tensor cache = updated(s);
               return stored(s, cache.transpose(0, 1).reshape(cache.sizes()));
             });
  lineup.add("kv heads in reverse", "the heads' order is turned round",
             [](const Scene& s) { return stored(s, updated(s).flip(1)); });
  lineup.add("first kv head in every place", "the stride between heads is 0",
             [](const Scene& s) { return stored(s, updated(s).narrow(1, 0, 1).expand_as(updated(s))); });
  for (const auto& [type, name] : {std::pair{DType::bf16, "bf16"}, std::pair{DType::f16, "f16"}}) {
    lineup.add(std::string(name) + " cache", "the cache is kept in a half type",
               [type = type](const Scene& s) { return stored(s, rounded_to(updated(s), type)); });
  }
}

}  // namespace

void suspect_cache(Lineup& lineup) {
  add_contents(lineup);
  add_slots(lineup);
  add_layout(lineup);
  suspect_cache_forms(lineup);
}

}  // namespace plumbline::reference
