// Copies into shared memory that a thread does not wait for, emulated on the host for tests: names and
// meaning as in "Pipeline Primitives Interface" of the CUDA C++ Programming Guide. With lazy streams
// (Settings) the bytes arrive when the thread waits for them, else at once: a device may do either.
#pragma once

#include <cstddef>

#include <device_functions.h>

namespace plumbline::cuda_emulation {
void copy_later(void* to_shared, const void* from, std::size_t size);
void commit_copies();
void wait_for_copies();
}  // namespace plumbline::cuda_emulation

// size: 4, 8 or 16, of which both addresses are multiples.
inline void __pipeline_memcpy_async(void* to_shared, const void* from, std::size_t size) {
  plumbline::cuda_emulation::copy_later(to_shared, from, size);
}
inline void __pipeline_commit() {
  plumbline::cuda_emulation::commit_copies();
}
// Until all but the last `batches` commits of the thread are done: emulated for 0.
inline void __pipeline_wait_prior(std::size_t batches) {
  if (batches != 0) plumbline::cuda_emulation::trap();
  plumbline::cuda_emulation::wait_for_copies();
}
