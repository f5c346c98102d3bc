// Independent pieces of work on all cores.
#pragma once

#include <cstddef>
#include <functional>

namespace plumbline {

// Calls work(0) … work(count - 1), each once, on up to `threads` threads, the caller's among them; 0 means as
// many as there are cores. Returns when all are done. Pieces are begun in order and must not depend on each
// other; when some throw, the exception of the lowest index is thrown again, after all have ended. The
// threads are kept for the next call. A call from within a piece runs on that piece's thread alone.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work);

}  // namespace plumbline
