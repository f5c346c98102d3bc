// The number format of the third forward pass: what numbers are kept in between
// ops, and where an op rounds on its way.
#pragma once

#include <string>

#include "harness/precision.h"
#include "tests/mutants/numbers.h"

namespace plumbline::mutants {

class Format {
 public:
  Format() = default;  // f32 throughout
  Format(DType storage, Rounding rounding) : storage_(storage), rounding_(rounding) {}

  DType storage() const { return storage_; }
  Rounding rounding() const { return rounding_; }
  bool half() const { return storage_ != DType::f32; }
  bool rounds_each() const { return half() && rounding_ == Rounding::each; }
  std::string name() const;  // "f32", "bf16, rounded once"
  // Rounding::once keeps cos, sin, scores and probs in f32, Rounding::each in
  // the storage type.
  Precision precision() const;

  // An op's output: rounded once.
  float stored(float value) const { return rounded(value, storage_); }
  // A number on the way to it, of those that Rounding::each rounds.
  float inner(float value) const { return rounds_each() ? stored(value) : value; }
  void store(std::vector<float>& values) const;
  void store_inner(Rows& rows) const;

 private:
  DType storage_ = DType::f32;
  Rounding rounding_ = Rounding::once;
};

// The other one of the two half types.
DType other_half(DType half);

}  // namespace plumbline::mutants
