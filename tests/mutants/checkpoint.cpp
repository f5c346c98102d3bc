#include "tests/mutants/checkpoint.h"

#include <bit>
#include <cmath>
#include <fstream>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/tensor_file.h"

namespace plumbline::mutants {
namespace {

using Random = std::mt19937;

// N(mean, spread).
Tensor normal(Random& random, Shape shape, double mean, double spread) {
  Tensor tensor(DType::f32, shape);
  std::normal_distribution<double> draw(mean, spread);
  for (float& value : tensor.values<float>()) value = static_cast<float>(draw(random));
  return tensor;
}

// Activations stay of order one.
Tensor linear(Random& random, int outputs, int inputs) {
  return normal(random, {outputs, inputs}, 0.0, 1.0 / std::sqrt(inputs));
}

void scale(Tensor& tensor, float factor) {
  for (float& value : tensor.values<float>()) value *= factor;
}

// Columns first, first + step, … of [rows, columns].
void scale_columns(Tensor& tensor, int first, int step, float factor) {
  const std::int64_t columns = tensor.shape()[1];
  const auto values = tensor.values<float>();
  for (std::int64_t i = 0; i < tensor.elements(); ++i) {
    if (i % columns >= first && (i % columns - first) % step == 0)
      values[static_cast<std::size_t>(i)] *= factor;
  }
}

// Every row times e^N(0, 1).
void spread_rows(Random& random, Tensor& tensor) {
  std::normal_distribution<double> draw;
  const auto columns = static_cast<std::size_t>(tensor.shape()[1]);
  const auto values = tensor.values<float>();
  for (std::size_t row = 0; row < values.size(); row += columns) {
    const auto factor = static_cast<float>(std::exp(draw(random)));
    for (std::size_t i = row; i < row + columns; ++i) values[i] *= factor;
  }
}

void add_layer(Random& random, const Architecture& a, int layer, std::map<std::string, Tensor>& out) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  const auto projection = [&](const std::string& name, int outputs, int inputs) {
    out.emplace(prefix + name + ".weight", linear(random, outputs, inputs));
  };
  const auto with_bias = [&](const std::string& name, int outputs) {
    projection(name, outputs, a.hidden);
    out.emplace(prefix + name + ".bias", normal(random, {outputs}, 0.0, 0.5));
  };
  out.emplace(prefix + "input_layernorm.weight", normal(random, {a.hidden}, 1.0, 0.3));
  with_bias("self_attn.q_proj", a.query_dim());
  with_bias("self_attn.k_proj", a.key_value_dim());
  with_bias("self_attn.v_proj", a.key_value_dim());
  projection("self_attn.o_proj", a.hidden, a.query_dim());
  out.emplace(prefix + "post_attention_layernorm.weight", normal(random, {a.hidden}, 1.0, 0.3));
  projection("mlp.gate_proj", a.intermediate, a.hidden);
  projection("mlp.up_proj", a.intermediate, a.hidden);
  projection("mlp.down_proj", a.hidden, a.intermediate);
}

void add_outliers(Random& random, std::map<std::string, Tensor>& tensors) {
  for (auto& [name, tensor] : tensors) {
    if (name == "model.embed_tokens.weight") scale_columns(tensor, 1, 7, 300.0f);
    if (name.ends_with("down_proj.weight") || name.ends_with("gate_proj.weight")) spread_rows(random, tensor);
    if (name.ends_with("k_proj.bias")) scale(tensor, 20.0f);
    if (name.ends_with("v_proj.bias")) scale(tensor, 100.0f);
  }
}

void apply(Weights weights, Random& random, std::map<std::string, Tensor>& tensors) {
  if (weights == Weights::outlier) add_outliers(random, tensors);
  if (weights == Weights::tiny_embedding) scale(tensors.at("model.embed_tokens.weight"), 1e-3f);
  if (weights != Weights::large_scores) return;
  for (auto& [name, tensor] : tensors) {
    const bool query_or_key =
        name.find("q_proj") != std::string::npos || name.find("k_proj") != std::string::npos;
    if (query_or_key) scale(tensor, 400.0f);
  }
}

// Nearest bf16, ties to even.
std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

Tensor as_bf16(const Tensor& tensor) {
  Tensor out(DType::bf16, tensor.shape());
  const auto from = tensor.values<float>();
  const auto to = out.values<std::uint16_t>();
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = to_bf16(from[i]);
  return out;
}

nlohmann::json config_json(const Architecture& a) {
  nlohmann::json json{{"model_type", "qwen2"},
                      {"architectures", {"Qwen2ForCausalLM"}},
                      {"vocab_size", a.vocab},
                      {"hidden_size", a.hidden},
                      {"intermediate_size", a.intermediate},
                      {"num_hidden_layers", a.layers},
                      {"num_attention_heads", a.heads},
                      {"num_key_value_heads", a.kv_heads},
                      {"head_dim", a.head_dim},
                      {"hidden_act", "silu"},
                      {"rms_norm_eps", a.eps},
                      {"rope_theta", a.theta},
                      {"max_position_embeddings", 32768},
                      {"tie_word_embeddings", a.tied},
                      {"use_sliding_window", a.window > 0},
                      {"max_window_layers", a.full_layers}};
  if (a.window > 0) json["sliding_window"] = a.window;
  if (a.yarn) {
    json["rope_scaling"] = {{"rope_type", "yarn"},
                            {"factor", a.yarn->factor},
                            {"original_max_position_embeddings", a.yarn->original_length}};
  }
  return json;
}

}  // namespace

Checkpoint random_checkpoint(const Architecture& architecture, Weights weights, unsigned seed, DType dtype) {
  const Architecture& a = architecture;
  Random random(seed);
  Checkpoint checkpoint{architecture, {}};
  std::map<std::string, Tensor>& tensors = checkpoint.tensors;
  tensors.emplace("model.embed_tokens.weight", normal(random, {a.vocab, a.hidden}, 0.0, 1.0));
  for (int layer = 0; layer < a.layers; ++layer) add_layer(random, a, layer, tensors);
  tensors.emplace("model.norm.weight", normal(random, {a.hidden}, 1.0, 0.3));
  if (!a.tied) tensors.emplace("lm_head.weight", linear(random, a.vocab, a.hidden));
  apply(weights, random, tensors);
  if (dtype == DType::bf16) {
    for (auto& [name, tensor] : tensors) tensor = as_bf16(tensor);
  }
  return checkpoint;
}

void write_checkpoint(const Checkpoint& checkpoint, const std::filesystem::path& directory) {
  std::vector<NamedView> views;
  for (const auto& [name, tensor] : checkpoint.tensors) views.push_back({name, tensor.view()});
  write_tensor_file(directory / "model.safetensors", {}, views);
  std::ofstream config(directory / "config.json");
  config << config_json(checkpoint.architecture).dump(2) << '\n';
  if (!config.flush()) throw Error("cannot write config.json", directory.string());
}

}  // namespace plumbline::mutants
