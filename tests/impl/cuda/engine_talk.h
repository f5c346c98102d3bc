// A few calls of an engine, for tests that compare all that it says.
#pragma once

#include <vector>

#include "tests/impl/support.h"

namespace plumbline::native::testing {

// Logits of a prefill, and of a few decode steps after it.
inline std::vector<float> talk(Engine& engine, DType storage) {
  const auto vocab = engine.config().vocab_size;
  const auto cache = engine.make_cache({.dtype = storage});
  std::vector<float> all = run(engine, *cache, some_tokens(21, vocab, 1));
  for (unsigned step = 0; step < 4; ++step) {
    const auto logits = run(engine, *cache, some_tokens(1, vocab, 2 + step), LogitsWanted::last);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

}  // namespace plumbline::native::testing
