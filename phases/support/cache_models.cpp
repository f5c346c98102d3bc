#include "phases/support/cache_models.h"

#include <cmath>
#include <random>
#include <vector>

#include <fmt/format.h>

#include "harness/tensor.h"

namespace plumbline::phases {
namespace {

using Random = std::mt19937;

struct Weights {
  Random random;
  std::vector<std::string> names;
  std::vector<Tensor> tensors;

  void add(std::string name, Shape shape, double mean, double spread) {
    Tensor tensor(DType::f32, shape);
    std::normal_distribution<double> draw(mean, spread);
    for (float& value : tensor.values<float>()) value = static_cast<float>(draw(random));
    names.push_back(std::move(name));
    tensors.push_back(std::move(tensor));
  }
  void linear(const std::string& name, std::int64_t outs, std::int64_t ins, bool bias) {
    add(name + ".weight", {outs, ins}, 0, 1 / std::sqrt(static_cast<double>(ins)));
    if (bias) add(name + ".bias", {outs}, 0, 0.5);
  }
};

void add_layer(Weights& weights, const RandomShape& shape, std::int64_t layer) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  const std::int64_t query = shape.heads * shape.head_dim, keys = shape.kv_heads * shape.head_dim;
  weights.add(prefix + "input_layernorm.weight", {shape.hidden}, 1, 0.3);
  weights.linear(prefix + "self_attn.q_proj", query, shape.hidden, true);
  weights.linear(prefix + "self_attn.k_proj", keys, shape.hidden, true);
  weights.linear(prefix + "self_attn.v_proj", keys, shape.hidden, true);
  weights.linear(prefix + "self_attn.o_proj", shape.hidden, query, false);
  weights.add(prefix + "post_attention_layernorm.weight", {shape.hidden}, 1, 0.3);
  weights.linear(prefix + "mlp.gate_proj", shape.intermediate, shape.hidden, false);
  weights.linear(prefix + "mlp.up_proj", shape.intermediate, shape.hidden, false);
  weights.linear(prefix + "mlp.down_proj", shape.hidden, shape.intermediate, false);
}

}  // namespace

std::string RandomShape::to_string() const {
  return fmt::format("{} layer{}, {} of {} heads of {}, hidden {}, intermediate {}, vocabulary {}{}{}",
                     layers, layers == 1 ? "" : "s", heads, kv_heads, head_dim, hidden, intermediate, vocab,
                     window > 0 ? fmt::format(", window {}", window) : "", tied ? ", tied" : "");
}

RandomShape random_shape(unsigned seed) {
  Random random(seed);
  const auto from = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  RandomShape shape;
  shape.kv_heads = from(1, 3);
  shape.heads = shape.kv_heads * (seed % 3 == 0 ? 1 : from(2, 7));
  shape.head_dim = 2 * from(1, 20);
  shape.hidden = from(3, 90);
  shape.intermediate = from(2, 120);
  shape.vocab = from(11, 140);
  shape.layers = from(1, 3);
  shape.tied = from(0, 1) == 1;
  shape.window = seed % 4 == 3 ? from(1, 40) : 0;
  return shape;
}

RandomModel::RandomModel(const RandomShape& shape, unsigned seed) : shape_(shape) {
  write(seed);
}

void RandomModel::write(unsigned seed) const {
  Weights weights{Random(seed * 7919 + 1), {}, {}};
  weights.add("model.embed_tokens.weight", {shape_.vocab, shape_.hidden}, 0, 1);
  for (std::int64_t layer = 0; layer < shape_.layers; ++layer) add_layer(weights, shape_, layer);
  weights.add("model.norm.weight", {shape_.hidden}, 1, 0.3);
  if (!shape_.tied) weights.linear("lm_head", shape_.vocab, shape_.hidden, false);
  std::vector<NamedView> views;
  for (std::size_t i = 0; i < weights.names.size(); ++i)
    views.push_back({weights.names[i], weights.tensors[i].view()});
  files_.write(shape_, 4096, "float32", views);
}

}  // namespace plumbline::phases
