// Small whole numbers as inputs: a linear layer's answer is then exact in any order of summation, as long as
// no sum of absolute products reaches 2^24, and its tolerance is 0. One lost or doubled product shows, for no
// value is 0.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tensor.h"

namespace plumbline {

inline constexpr int kLargestSmallInteger = 15;

// Odd, -15 to 15, a function of the key and the index alone.
int small_integer(std::uint64_t key, std::int64_t index);
// A key for a tensor's name.
std::uint64_t integer_key(std::string_view name);
// small_integer(key, i) at each place of a contiguous f32 host view.
void fill_with_small_integers(const MutableTensorView& view, std::uint64_t key);

using Integers = std::vector<std::int64_t>;
// The elements as whole numbers; those that are none, or lie beyond 2^53, become 2^53, which no exact answer
// is.
Integers integers_of(const TensorView& view);

// y = x W^T + b in 64-bit integers: x [rows, ins], weight [outs, ins], bias [outs] or empty; [rows, outs].
// Throws InternalError where a sum of absolute values may reach 2^24: f32 would not be exact.
Integers integer_linear(std::span<const std::int64_t> x, std::span<const std::int8_t> weight,
                        std::span<const std::int8_t> bias, std::int64_t ins);
// a + b, as many of each. Where that reaches 2^24, an input was wrong before; 2^53 then, which nothing
// equals.
Integers integer_sum(std::span<const std::int64_t> a, std::span<const std::int64_t> b);
// 1 where a token of this step may see a key: keys up to its own, the last `window` of them (0: all);
// [tokens, past + tokens].
Integers integer_mask(std::int64_t tokens, std::int64_t past, std::int64_t window);

// What was compared with tolerance 0, over many tensors.
struct ExactTally {
  std::int64_t tensors = 0, elements = 0, different = 0;
  std::string first;  // "at [3, 17] of model.layers.0.mlp.up_proj: 96 where 97 is right"
  // `where` names the tensor. Another number of elements, or none, is a
  // difference for each of those expected, at least one.
  void compare(const std::string& where, const TensorView& actual, std::span<const std::int64_t> expected);
  // Values that are copied, and need not be whole numbers.
  void compare(const std::string& where, const TensorView& actual, std::span<const double> expected);
};

}  // namespace plumbline
