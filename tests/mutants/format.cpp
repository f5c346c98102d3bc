#include "tests/mutants/format.h"

#include <fmt/format.h>

namespace plumbline::mutants {

std::string Format::name() const {
  if (!half()) return std::string(dtype_name(storage_));
  return fmt::format("{}, rounded {}", dtype_name(storage_),
                     rounds_each() ? "at each operation" : "once per op");
}

Precision Format::precision() const {
  if (!half()) return {};
  const DType inside = rounds_each() ? storage_ : DType::f32;
  return {inside, inside, inside, rounding_};
}

void Format::store(std::vector<float>& values) const {
  if (!half()) return;
  for (float& value : values) value = stored(value);
}

void Format::store_inner(Rows& rows) const {
  if (rounds_each()) store(rows.values);
}

DType other_half(DType half) {
  return half == DType::bf16 ? DType::f16 : DType::bf16;
}

}  // namespace plumbline::mutants
