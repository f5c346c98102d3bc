// Token embedding: rows of a table. transformers: Qwen2Model.embed_tokens.
#pragma once

#include <cstdint>
#include <span>

#include "harness/model.h"
#include "impl/cpu/linear.h"

namespace plumbline::native {

// table: [vocab, hidden]; out: [tokens, hidden], exact copies, widened. Token ids must lie in the vocabulary.
void embedding(const StoredMatrix& table, std::int64_t hidden, std::span<const TokenId> tokens, float* out);

}  // namespace plumbline::native
