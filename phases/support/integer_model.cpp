#include "phases/support/integer_model.h"

#include <bit>

#include <fmt/format.h>

#include "harness/exact_inputs.h"

namespace plumbline::phases {
namespace {

// Whole numbers of few bits: the upper half of their f32.
Tensor as_bf16(const std::vector<std::int64_t>& shape, std::span<const std::int8_t> values) {
  Tensor tensor(DType::bf16, Shape(shape));
  const std::span<std::uint16_t> halves = tensor.values<std::uint16_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    halves[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(values[i])) >> 16);
  }
  return tensor;
}

}  // namespace

std::string IntegerShape::to_string() const {
  return fmt::format("hidden {}, intermediate {}, vocabulary {}, {} of {} heads of {}", hidden, intermediate,
                     vocab, heads, kv_heads, head_dim);
}

IntegerModel::IntegerModel(const IntegerShape& shape) : shape_(shape) {
  plan();
  write();
}

std::span<const std::int8_t> IntegerModel::weight(const std::string& name) const {
  const std::string stored = shape_.tied && name == "lm_head.weight" ? "model.embed_tokens.weight" : name;
  const auto found = tensors_.find(stored);
  return found == tensors_.end() ? std::span<const std::int8_t>{} : found->second.values;
}

void IntegerModel::add(const std::string& name, std::vector<std::int64_t> shape) {
  Stored& made = tensors_[name];
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  made.shape = std::move(shape);
  made.values.reserve(static_cast<std::size_t>(count));
  const std::uint64_t key = integer_key(name);
  for (std::int64_t i = 0; i < count; ++i)
    made.values.push_back(static_cast<std::int8_t>(small_integer(key, i)));
}

void IntegerModel::plan() {
  const std::int64_t query = shape_.heads * shape_.head_dim, key_value = shape_.kv_heads * shape_.head_dim;
  const std::int64_t hidden = shape_.hidden, intermediate = shape_.intermediate;
  add("model.embed_tokens.weight", {shape_.vocab, hidden});
  if (!shape_.tied) add("lm_head.weight", {shape_.vocab, hidden});
  add("model.norm.weight", {hidden});
  for (std::int64_t layer = 0; layer < shape_.layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    add(prefix + "input_layernorm.weight", {hidden});
    add(prefix + "post_attention_layernorm.weight", {hidden});
    for (const auto& [name, outs] :
         {std::pair("q", query), std::pair("k", key_value), std::pair("v", key_value)}) {
      add(fmt::format("{}self_attn.{}_proj.weight", prefix, name), {outs, hidden});
      add(fmt::format("{}self_attn.{}_proj.bias", prefix, name), {outs});
    }
    add(prefix + "self_attn.o_proj.weight", {hidden, query});
    add(prefix + "mlp.gate_proj.weight", {intermediate, hidden});
    add(prefix + "mlp.up_proj.weight", {intermediate, hidden});
    add(prefix + "mlp.down_proj.weight", {hidden, intermediate});
  }
}

void IntegerModel::write() const {
  std::vector<Tensor> tensors;
  std::vector<NamedView> views;
  for (const auto& [name, stored] : tensors_) {
    tensors.push_back(as_bf16(stored.shape, stored.values));
    views.push_back({name, tensors.back().view()});
  }
  files_.write(shape_, 1024, "bfloat16", views);
}

}  // namespace plumbline::phases
