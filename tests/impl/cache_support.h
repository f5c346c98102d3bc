// Every form of native cache, and tokens that can be told apart.
#pragma once

#include <string>
#include <vector>

#include "impl/cache.h"

namespace plumbline::native::testing {

std::string form_name(const CacheSpec& spec);
// All layouts and packings, of: concatenating, fixed, fixed with a buffer for the prefill. Capacity
// `capacity`, of which prefills have `prefill`.
std::vector<CacheSpec> all_forms(std::int64_t sequences, std::int64_t capacity, std::int64_t prefill,
                                 DType dtype = DType::f32);
// The fixed ones among them as rings.
std::vector<CacheSpec> all_rings(std::int64_t sequences, std::int64_t capacity, std::int64_t prefill,
                                 DType dtype = DType::f32);

// Keys of the tokens numbered [first, first + tokens), [layers, tokens, kv_heads, head_dim]: each element
// says its layer, token, head and feature. bf16 rounds them, differently for different tokens in general.
// Values are the negative keys.
std::vector<float> marked_keys(const CacheShape& shape, std::span<const int> tokens);
void update_marked(NativeCache& cache, SequenceId sequence, std::span<const int> tokens);
// Whether the cache holds exactly these tokens, in reads as in views. Rounded to the dtype of the cache.
bool holds(NativeCache& cache, SequenceId sequence, std::span<const int> tokens);

bool same_bytes(const Tensor& a, const Tensor& b);

}  // namespace plumbline::native::testing
