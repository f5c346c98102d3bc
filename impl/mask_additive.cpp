#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "impl/half.h"
#include "impl/mask.h"
#include "impl/memory.h"

namespace plumbline::native {
namespace {

void check_filled(const TensorView& tensor, std::string_view where) {
  if (tensor.data == nullptr || tensor.shape.rank() == 0 || tensor.elements() < 1)
    throw Error("the mask is empty", where);
}

// What forbids, as bits of the dtype.
std::uint32_t forbidding_bits(MaskForm form, DType dtype) {
  struct Row {
    DType dtype;
    std::uint32_t minus_1e9, minus_infinity, lowest_finite;
  };
  // -1e9 is exact in f32, -998244352 in bf16, and beyond the largest f16.
  constexpr Row kRows[] = {{DType::f32, 0xce6e6b28u, 0xff800000u, 0xff7fffffu},
                           {DType::bf16, 0xce6eu, 0xff80u, 0xff7fu},
                           {DType::f16, 0xfc00u, 0xfc00u, 0xfbffu}};
  for (const Row& row : kRows) {
    if (row.dtype != dtype) continue;
    if (form == MaskForm::minus_1e9) return row.minus_1e9;
    return form == MaskForm::minus_infinity ? row.minus_infinity : row.lowest_finite;
  }
  throw Error("is no type of an additive mask", dtype_name(dtype), "f32, bf16 or f16");
}

Tensor made(DType dtype, const Shape& shape, std::string_view where) {
  return with_memory(shape.to_string(), shape.elements() * static_cast<std::int64_t>(dtype_size(dtype)),
                     where, "a mask grows with queries x keys", [&] { return Tensor(dtype, shape); });
}

float element(const TensorView& view, std::int64_t index) {
  return static_cast<float>(element_as_f64(view, index));
}

// The places of `mask`, over which those of x repeat.
std::int64_t repeated_places(const TensorView& x, const TensorView& mask, std::string_view where) {
  check_filled(mask, where);
  const int before = x.shape.rank() - mask.shape.rank();
  bool fits = before >= 0 && x.elements() > 0;
  for (int axis = 0; fits && axis < mask.shape.rank(); ++axis)
    fits = mask.shape[axis] == x.shape[before + axis];
  if (!fits) {
    throw Error(fmt::format("a mask of {} does not fit {}", mask.shape.to_string(), x.shape.to_string()),
                where);
  }
  return mask.elements();
}

// exp(row - largest) / sum, in place; no place of it where there is nothing but -infinity gives a number.
void softmax(std::span<float> row) {
  const float largest = *std::max_element(row.begin(), row.end());
  double sum = 0.0;
  for (float& value : row) sum += static_cast<double>(value = std::exp(value - largest));
  for (float& value : row) value /= static_cast<float>(sum);
}

}  // namespace

Tensor additive_mask(const TensorView& allowed, MaskForm form, DType dtype) {
  const std::uint32_t bits = forbidding_bits(form, dtype);
  check_filled(allowed, "additive mask");
  if (allowed.dtype != DType::boolean || !allowed.is_contiguous())
    throw Error("is made of contiguous booleans", "additive mask");
  Tensor mask = made(dtype, allowed.shape, "additive mask");
  const auto* in = allowed.as<std::uint8_t>();
  const auto fill = [&](auto values) {
    using Bits = typename decltype(values)::value_type;
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = in[i] != 0 ? Bits{0} : static_cast<Bits>(bits);
  };
  if (dtype == DType::f32) {
    fill(mask.values<std::uint32_t>());
  } else {
    fill(mask.values<std::uint16_t>());
  }
  return mask;
}

Tensor add_mask(const TensorView& x, const TensorView& mask) {
  const std::int64_t places = repeated_places(x, mask, "add_mask");
  if (x.dtype != mask.dtype) throw Error("scores and mask have different types", "add_mask");
  if (x.dtype != DType::f32) forbidding_bits(MaskForm::minus_1e9, x.dtype);
  Tensor wide = made(DType::f32, x.shape, "add_mask");
  const std::span<float> sums = wide.values<float>();
  for (std::int64_t i = 0; i < x.elements(); ++i)
    sums[static_cast<std::size_t>(i)] = element(x, i) + element(mask, i % places);
  // One f32 addition rounded to a half type is the half type's own: 24 bits >= 2 * 11 + 2.
  Tensor sum = made(x.dtype, x.shape, "add_mask");
  narrow(x.dtype, sums.data(), x.elements(), sum.values<std::byte>().data());
  return sum;
}

Tensor masked_softmax(const TensorView& masked_scores) {
  check_filled(masked_scores, "masked_softmax");
  Tensor weights = made(DType::f32, masked_scores.shape, "masked_softmax");
  const std::span<float> values = weights.values<float>();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = element(masked_scores, static_cast<std::int64_t>(i));
  const auto keys = static_cast<std::size_t>(masked_scores.shape[masked_scores.shape.rank() - 1]);
  for (std::size_t first = 0; first < values.size(); first += keys) softmax(values.subspan(first, keys));
  return weights;
}

Tensor allowed_softmax(const TensorView& scores, const TensorView& allowed) {
  const std::int64_t places = repeated_places(scores, allowed, "allowed_softmax");
  Tensor weights = made(DType::f32, scores.shape, "allowed_softmax");
  const std::span<float> values = weights.values<float>();
  const auto keys = static_cast<std::size_t>(scores.shape[scores.shape.rank() - 1]);
  std::vector<float> seen;  // by one query
  for (std::size_t first = 0; first < values.size(); first += keys) {
    const auto sees = [&](std::size_t i) {
      return element_as_f64(allowed, static_cast<std::int64_t>(i) % places) != 0.0;
    };
    seen.clear();
    for (std::size_t i = first; i < first + keys; ++i)
      if (sees(i)) seen.push_back(element(scores, static_cast<std::int64_t>(i)));
    if (seen.empty()) continue;
    softmax(seen);
    auto weight = seen.begin();
    for (std::size_t i = first; i < first + keys; ++i)
      if (sees(i)) values[i] = *weight++;
  }
  return weights;
}

}  // namespace plumbline::native
