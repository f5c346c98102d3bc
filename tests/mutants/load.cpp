#include "tests/mutants/load.h"

#include <fmt/format.h>

namespace plumbline::mutants {
namespace {

float from_half(std::uint16_t bits, Mistake planted) {
  if (planted == Mistake::bf16_read_as_f16) return f16_to_f32(bits);
  if (planted == Mistake::byte_order_swapped) bits = static_cast<std::uint16_t>(bits << 8 | bits >> 8);
  return bf16_to_f32(bits);
}

std::vector<float> values_of(const Tensor& tensor, Mistake planted) {
  if (tensor.dtype() == DType::f32) {
    const auto values = tensor.values<float>();
    return {values.begin(), values.end()};
  }
  require(tensor.dtype() == DType::bf16, "mutants: checkpoints are f32 or bf16");
  std::vector<float> out;
  for (const std::uint16_t bits : tensor.values<std::uint16_t>()) out.push_back(from_half(bits, planted));
  return out;
}

Rows transposed(const Rows& square) {
  Rows out(square.columns, square.rows);
  for (int i = 0; i < square.rows; ++i) {
    for (int j = 0; j < square.columns; ++j) out.row(j)[i] = square.row(i)[j];
  }
  return out;
}

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, Mistake planted, const Format& format)
      : checkpoint_(checkpoint), planted_(planted), format_(format) {}

  Model model() {
    Model model;
    Architecture& a = model.architecture = checkpoint_.architecture;
    if (planted_ == Mistake::eps_hard_coded) a.eps = 1e-5;
    if (planted_ == Mistake::theta_hard_coded) a.theta = 10000;
    model.embedding = matrix("model.embed_tokens.weight");
    for (int layer = 0; layer < a.layers; ++layer) model.layers.push_back(this->layer(layer));
    model.final_norm = vector("model.norm.weight");
    model.head.weight = head();
    return model;
  }

 private:
  std::vector<float> vector(const std::string& name) const {
    std::vector<float> values = values_of(checkpoint_.tensors.at(name), planted_);
    const bool as_it_was = (planted_ == Mistake::head_not_rounded && name == "lm_head.weight") ||
                           (planted_ == Mistake::biases_not_rounded && name.ends_with(".bias"));
    if (!as_it_was) format_.store(values);
    return values;
  }
  Rows matrix(const std::string& name) const {
    const Shape& shape = checkpoint_.tensors.at(name).shape();
    Rows out(static_cast<int>(shape[0]), static_cast<int>(shape[1]));
    out.values = vector(name);
    return out;
  }
  std::string full_name(int layer, const std::string& name) const {
    const bool first = planted_ == Mistake::layer_takes_first_layers_weight && name == "mlp.up_proj";
    return fmt::format("model.layers.{}.{}", first ? 0 : layer, name);
  }
  Linear linear(int layer, const std::string& name, Mistake drops_bias = Mistake::none) const {
    const std::string prefix = full_name(layer, name);
    Linear out{matrix(prefix + ".weight"), {}};
    const bool dropped = drops_bias != Mistake::none && planted_ == drops_bias;
    if (checkpoint_.tensors.contains(prefix + ".bias") && !dropped) out.bias = vector(prefix + ".bias");
    return out;
  }

  LayerWeights layer(int i) const {
    LayerWeights w;
    w.input_norm = vector(full_name(i, "input_layernorm.weight"));
    w.post_norm = vector(full_name(i, "post_attention_layernorm.weight"));
    w.q = linear(i, "self_attn.q_proj", Mistake::q_bias_dropped);
    w.k = linear(i, "self_attn.k_proj", Mistake::k_bias_dropped);
    w.v = linear(i, "self_attn.v_proj", Mistake::v_bias_dropped);
    w.o = linear(i, "self_attn.o_proj");
    w.gate = linear(i, "mlp.gate_proj");
    w.up = linear(i, "mlp.up_proj");
    w.down = linear(i, "mlp.down_proj");
    if (planted_ == Mistake::layer_norms_swapped) std::swap(w.input_norm, w.post_norm);
    if (planted_ == Mistake::k_and_v_weights_swapped) std::swap(w.k, w.v);
    if (planted_ == Mistake::gate_and_up_swapped) std::swap(w.gate, w.up);
    if (planted_ == Mistake::o_proj_transposed) w.o.weight = transposed(w.o.weight);
    return w;
  }

  Rows head() const {
    const Architecture& a = checkpoint_.architecture;
    if (planted_ == Mistake::head_not_tied) {  // left as a new model has it
      return matrix_of(random_checkpoint(a, Weights::ordinary, 4711).tensors.at("model.embed_tokens.weight"));
    }
    const bool tied = a.tied || planted_ == Mistake::head_tied_wrongly;
    Rows weight = matrix(tied ? "model.embed_tokens.weight" : "lm_head.weight");
    if (planted_ == Mistake::vocabulary_padding_cut) {
      weight.rows -= 5;
      weight.values.resize(static_cast<std::size_t>(weight.rows) * static_cast<std::size_t>(weight.columns));
    }
    return weight;
  }
  Rows matrix_of(const Tensor& tensor) const {
    Rows out(static_cast<int>(tensor.shape()[0]), static_cast<int>(tensor.shape()[1]));
    out.values = values_of(tensor, Mistake::none);
    format_.store(out.values);
    return out;
  }

  const Checkpoint& checkpoint_;
  Mistake planted_;
  Format format_;
};

}  // namespace

Model load(const Checkpoint& checkpoint, Mistake planted, const Format& format) {
  return Loader(checkpoint, planted, format).model();
}

}  // namespace plumbline::mutants
