#include "impl/cpu/embedding.h"

#include "impl/half.h"

namespace plumbline::native {
namespace {

void copy_row(const float* row, std::int64_t count, float* to) {
  widen(DType::f32, reinterpret_cast<const std::byte*>(row), count, to);
}
void copy_row(const Bf16* row, std::int64_t count, float* to) {
  widen(DType::bf16, reinterpret_cast<const std::byte*>(row), count, to);
}
void copy_row(const F16* row, std::int64_t count, float* to) {
  widen(DType::f16, reinterpret_cast<const std::byte*>(row), count, to);
}

}  // namespace

void embedding(const StoredMatrix& table, std::int64_t hidden, std::span<const TokenId> tokens, float* out) {
  const auto copy = [&](const auto* rows) {
    for (const TokenId token : tokens) {
      copy_row(rows + static_cast<std::int64_t>(token) * hidden, hidden, out);
      out += hidden;
    }
  };
  std::visit(copy, table);
}

}  // namespace plumbline::native
