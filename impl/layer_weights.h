// The weights of one layer under Hugging Face's names, for any device: what a vector and a linear layer are
// is the engine's own.
#pragma once

#include <cstdint>
#include <string>

#include <fmt/format.h>

namespace plumbline::native {

template <typename Vector, typename Linear>
struct LayerWeightsOf {
  Vector input_layernorm{};           // [hidden]
  Vector post_attention_layernorm{};  // [hidden]
  Linear q_proj;
  Linear k_proj;
  Linear v_proj;
  Linear o_proj;
  Linear gate_proj;
  Linear up_proj;
  Linear down_proj;
};

// vector(name) gives a tensor; linear(name, bias) the layer with name.weight and, where `bias`, name.bias.
template <typename Weights, typename MakeVector, typename MakeLinear>
Weights layer_weights(std::int64_t layer, const MakeVector& vector, const MakeLinear& linear) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  Weights made;
  made.input_layernorm = vector(prefix + "input_layernorm.weight");
  made.post_attention_layernorm = vector(prefix + "post_attention_layernorm.weight");
  made.q_proj = linear(prefix + "self_attn.q_proj", true);
  made.k_proj = linear(prefix + "self_attn.k_proj", true);
  made.v_proj = linear(prefix + "self_attn.v_proj", true);
  made.o_proj = linear(prefix + "self_attn.o_proj", false);
  made.gate_proj = linear(prefix + "mlp.gate_proj", false);
  made.up_proj = linear(prefix + "mlp.up_proj", false);
  made.down_proj = linear(prefix + "mlp.down_proj", false);
  return made;
}

}  // namespace plumbline::native
