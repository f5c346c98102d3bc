// The memory of the device, for caches.
#pragma once

#include <memory>

#include "impl/cache/memory.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// Blocks of the current device's memory. Copies are queued on `stream`, behind the kernels that are there;
// the host waits for those that it takes part in, and for nothing else. None of it may be called while the
// stream is being captured, nor, but for the blocks' end, when the stream is gone. Throws Error for what CUDA
// refuses; for memory that is not there, with how much is free.
std::shared_ptr<CacheMemory> make_cache_memory(Stream stream);

}  // namespace plumbline::native::cuda
