#include "phases/support/cache_models.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "harness/output_file.h"
#include "harness/tensor.h"
#include "harness/tensor_file.h"

namespace plumbline::phases {
namespace {

namespace fs = std::filesystem;
using Random = std::mt19937;

nlohmann::ordered_json config_of(const RandomShape& shape) {
  nlohmann::ordered_json config{{"architectures", {"Qwen2ForCausalLM"}},
                                {"model_type", "qwen2"},
                                {"hidden_act", "silu"},
                                {"hidden_size", shape.hidden},
                                {"intermediate_size", shape.intermediate},
                                {"num_hidden_layers", shape.layers},
                                {"num_attention_heads", shape.heads},
                                {"num_key_value_heads", shape.kv_heads},
                                {"head_dim", shape.head_dim},
                                {"vocab_size", shape.vocab},
                                {"max_position_embeddings", 4096},
                                {"rms_norm_eps", 1e-6},
                                {"rope_theta", 10000.0},
                                {"tie_word_embeddings", shape.tied},
                                {"use_sliding_window", shape.window > 0},
                                {"torch_dtype", "float32"}};
  if (shape.window > 0) {
    config["sliding_window"] = shape.window;
    config["max_window_layers"] = 1;
  }
  return config;
}

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
  std::string pattern = (fs::temp_directory_path() / "plumbline-random-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw Error(std::string("cannot be made: ") + std::strerror(errno), pattern,
                "set TMPDIR to a folder that can be written");
  }
  directory_ = pattern;
  try {
    write(seed);
  } catch (...) {  // a full disk
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
    throw;
  }
}

RandomModel::~RandomModel() {
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
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
  write_tensor_file(directory_ / "model.safetensors", {{"format", "pt"}}, views);
  OutputFile config(directory_ / "config.json");
  config.write(config_of(shape_).dump(1));
  config.keep();
}

}  // namespace plumbline::phases
