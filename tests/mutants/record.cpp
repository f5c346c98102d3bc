// What a step shows at its probes: rows and keys of the text, none of its padding.
#include <algorithm>

#include "harness/half.h"
#include "tests/mutants/forward.h"

namespace plumbline::mutants {

Tensor tensor_of(std::span<const float> values, Shape shape, DType dtype) {
  if (dtype == DType::f32) return Tensor::from(DType::f32, shape, values);
  Tensor out(dtype, shape);
  std::transform(values.begin(), values.end(), out.values<std::uint16_t>().begin(),
                 [&](float value) { return dtype == DType::bf16 ? f32_to_bf16(value) : f32_to_f16(value); });
  return out;
}

void Forward::emit(Probe probe, int layer, Tensor tensor) {
  const bool added = trace_.steps.back().tensors.emplace(OpSite{probe, layer}, std::move(tensor)).second;
  require(added, "mutants: a probe was recorded twice in one step: " + site_name({probe, layer}));
}

// [tokens, columns]
void Forward::emit(Probe probe, int layer, const Rows& rows) {
  emit_heads(probe, layer, rows, 0);
}

// [tokens, heads, columns / heads]
void Forward::emit_heads(Probe probe, int layer, const Rows& rows, int heads) {
  const std::int64_t tokens = rows.rows - new_pads_;
  const Shape shape = heads == 0 ? Shape{tokens, rows.columns} : Shape{tokens, heads, rows.columns / heads};
  const std::span<const float> values(rows.row(new_pads_), static_cast<std::size_t>(shape.elements()));
  emit(probe, layer, tensor_of(values, shape, kept_in(probe, format_.storage(), format_.precision())));
}

// [heads, tokens, keys]
void Forward::emit_squares(Probe probe, int layer, const std::vector<Rows>& squares) {
  const int pads = slots_[static_cast<std::size_t>(slot_)].pads;
  const int tokens = rows_ - new_pads_, keys = squares[0].columns - pads;
  std::vector<float> values;
  for (const Rows& square : squares) {
    for (int t = 0; t < tokens; ++t) {
      const float* from = square.row(new_pads_ + t) + pads;
      values.insert(values.end(), from, from + keys);
    }
  }
  const Shape shape{static_cast<std::int64_t>(squares.size()), tokens, keys};
  emit(probe, layer, tensor_of(values, shape, kept_in(probe, format_.storage(), format_.precision())));
}

void Forward::emit_mask(Probe probe, const Mask& mask) {
  const int pads = slots_[static_cast<std::size_t>(slot_)].pads;
  const int tokens = rows_ - new_pads_, keys = mask.keys - pads;
  Tensor tensor(DType::boolean, {tokens, keys});
  const auto to = tensor.values<std::uint8_t>();
  for (int t = 0; t < tokens; ++t) {
    for (int c = 0; c < keys; ++c) {
      to[static_cast<std::size_t>(t * keys + c)] = mask.at(new_pads_ + t, pads + c) ? 1 : 0;
    }
  }
  emit(probe, -1, std::move(tensor));
}

DType Forward::cache_dtype() const {
  if (planted(Mistake::cache_of_other_half)) return other_half(format_.storage());
  return formed_ ? formed_->dtype() : format_.storage();
}

// [keys, kv_heads, head_dim] as attention reads them, first token first.
void Forward::emit_cache(int layer) {
  const int pads = slots_[static_cast<std::size_t>(slot_)].pads, row = arch_.key_value_dim();
  const std::vector<Place> all = places(layer, slot_, pads, past_ + rows_ - pads);
  const Shape shape{static_cast<std::int64_t>(all.size()), arch_.kv_heads, arch_.head_dim};
  std::vector<float> keys, values;
  for (const Place& place : all) {
    keys.insert(keys.end(), place.key, place.key + row);
    values.insert(values.end(), place.value, place.value + row);
  }
  const DType dtype = cache_dtype();
  emit(Probe::past_key, layer, tensor_of(keys, shape, dtype));
  // What is not rounded cannot be shown in a half type.
  emit(Probe::past_value, layer,
       tensor_of(values, shape, planted(Mistake::half_keys_alone) ? DType::f32 : dtype));
}

}  // namespace plumbline::mutants
