// What suspects of the cache update share: the rows that are written, and those that were there.
#pragma once

#include <vector>

#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {

bool is_key(const Scene& s);
// What the step adds, f64 [tokens, kv_heads, head_dim], not rounded: as its own probe gives it, or another.
at::Tensor rows_of(const Scene& s);
at::Tensor rows_of(const Scene& s, Probe probe, int layer);
at::Tensor updated(const Scene& s);  // the right answer, [slots, kv_heads, head_dim]
at::Tensor before(const Scene& s);   // its slots before the step's own

// Rounded to what the cache keeps.
Mistaken stored(const Scene& s, const at::Tensor& cache);

// Slots of a cache. What a mistake leaves unwritten hold whatever was there: no evidence.
struct Slots {
  at::Tensor values, written;
};
Slots written(const at::Tensor& rows);
Slots unwritten(const Scene& s, std::int64_t count);
Mistaken stored(const Scene& s, const std::vector<Slots>& parts);  // one after the other

// Of layouts, packings, rings and half types: cache_forms.cpp.
void suspect_cache_forms(Lineup& lineup);

}  // namespace plumbline::reference
