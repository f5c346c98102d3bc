// A checkpoint's tensor, rounded once to the dtype that an engine stores.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "harness/dtype.h"
#include "impl/weights.h"

namespace plumbline::native {

// The tensor of this name. `checkpoint` must have passed check().
const SafetensorsEntry& checked_tensor(const Checkpoint& checkpoint, const std::string& name);

// Calls `chunk` with all elements of the tensor in order, some thousands at a time: as f32, rounded to
// `storage` (f32, bf16 or f16), to nearest, ties to even; `first` is the number of the first of them. Throws
// Error for a value that becomes infinite so.
void for_rounded_chunks(const Checkpoint& checkpoint, const std::string& name, DType storage,
                        const std::function<void(std::int64_t first, std::span<const float> values)>& chunk);

}  // namespace plumbline::native
