#include "impl/cpu/embedding.h"

#include <algorithm>

namespace plumbline::native {

void embedding(const float* table, std::int64_t hidden, std::span<const TokenId> tokens, float* out) {
  for (const TokenId token : tokens) {
    out = std::copy_n(table + static_cast<std::int64_t>(token) * hidden, hidden, out);
  }
}

}  // namespace plumbline::native
