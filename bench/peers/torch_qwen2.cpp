#include "bench/peers/torch_qwen2.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "harness/error.h"
#include "impl/config.h"
#include "impl/weights.h"

namespace plumbline::bench {
namespace {

at::Tensor widened(const native::Checkpoint& checkpoint, const std::string& name) {
  const native::SafetensorsEntry& entry = checkpoint.tensors().at(name);
  const at::ScalarType type = entry.dtype == DType::f32    ? at::kFloat
                              : entry.dtype == DType::bf16 ? at::kBFloat16
                                                           : at::kHalf;
  std::vector<std::int64_t> shape;
  for (int axis = 0; axis < entry.shape.rank(); ++axis) shape.push_back(entry.shape[axis]);
  auto* bytes = const_cast<std::byte*>(entry.bytes.data());  // only read: copied at once
  return at::from_blob(bytes, shape, at::TensorOptions(type)).to(at::kFloat, false, true);
}

struct Layer {
  at::Tensor input_norm, post_norm;  // [hidden]
  at::Tensor qkv, qkv_bias;          // [query + 2 * key_value, hidden]
  at::Tensor out;                    // [hidden, query]
  at::Tensor gate_up;                // [2 * intermediate, hidden]
  at::Tensor down;                   // [hidden, intermediate]
  at::Tensor keys, values;           // [kv_heads, capacity, head_dim]
};

Layer load_layer(const native::Checkpoint& checkpoint, const std::string& prefix) {
  const auto get = [&](const char* name) { return widened(checkpoint, prefix + name); };
  const auto stacked = [&](const std::vector<const char*>& names) {
    std::vector<at::Tensor> parts;
    for (const char* name : names) parts.push_back(get(name));
    return at::cat(parts, 0);
  };
  Layer layer;
  layer.input_norm = get("input_layernorm.weight");
  layer.post_norm = get("post_attention_layernorm.weight");
  layer.qkv = stacked({"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"});
  layer.qkv_bias = stacked({"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"});
  layer.out = get("self_attn.o_proj.weight");
  layer.gate_up = stacked({"mlp.gate_proj.weight", "mlp.up_proj.weight"});
  layer.down = get("mlp.down_proj.weight");
  return layer;
}

// x: [heads, tokens, head_dim]; cos, sin: [tokens, head_dim].
at::Tensor rotated(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const std::int64_t half = x.size(2) / 2;
  const at::Tensor turned = at::cat({-x.narrow(2, half, half), x.narrow(2, 0, half)}, 2);
  return at::mul(x, cos).addcmul_(turned, sin);
}

}  // namespace

struct TorchQwen2::Model {
  ModelConfig config;
  at::Tensor embedding;  // [vocab, hidden]
  at::Tensor head;       // [vocab, hidden]
  at::Tensor norm;
  at::Tensor cos, sin;  // [capacity, head_dim]
  std::vector<Layer> layers;
  std::int64_t length = 0;
  at::Tensor logits;

  at::Tensor normed(const at::Tensor& x, const at::Tensor& weight) const {
    return at::rms_norm(x, {config.hidden_size}, weight, config.rms_norm_eps);
  }
  void load(const std::filesystem::path& directory, std::int64_t capacity);
  at::Tensor attention(Layer& layer, const at::Tensor& x) const;
  at::Tensor run(std::span<const TokenId> tokens);
};

void TorchQwen2::Model::load(const std::filesystem::path& directory, std::int64_t capacity) {
  config = native::load_config(directory);
  if (config.use_sliding_window || config.rope.type != "default") {
    throw Error("sliding windows and scaled rope are not there", "the LibTorch peer");
  }
  const native::Checkpoint checkpoint(directory);
  checkpoint.check(config);
  embedding = widened(checkpoint, "model.embed_tokens.weight");
  head = config.tie_word_embeddings ? embedding : widened(checkpoint, "lm_head.weight");
  norm = widened(checkpoint, "model.norm.weight");
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    Layer layer = load_layer(checkpoint, "model.layers." + std::to_string(i) + ".");
    layer.keys = at::empty({config.num_key_value_heads, capacity, config.head_dim});
    layer.values = at::empty_like(layer.keys);
    layers.push_back(std::move(layer));
  }
  const at::Tensor exponents = at::arange(0, config.head_dim, 2).div(config.head_dim).to(at::kDouble);
  const at::Tensor inv_freq = at::pow(config.rope.theta, exponents).to(at::kFloat).reciprocal();
  const at::Tensor angles = at::outer(at::arange(capacity), inv_freq).to(at::kDouble);
  cos = at::cat({angles, angles}, 1).cos().to(at::kFloat);
  sin = at::cat({angles, angles}, 1).sin().to(at::kFloat);
}

// x: [tokens, hidden], normed; the cache's tokens stand before it.
at::Tensor TorchQwen2::Model::attention(Layer& layer, const at::Tensor& x) const {
  const std::int64_t tokens = x.size(0);
  const std::int64_t heads = config.num_attention_heads;
  const std::int64_t kv_heads = config.num_key_value_heads;
  const at::Tensor fused = at::linear(x, layer.qkv, layer.qkv_bias).view({tokens, -1, config.head_dim});
  const at::Tensor by_head = fused.transpose(0, 1);  // [heads + 2 * kv_heads, tokens, head_dim]
  const at::Tensor turned = rotated(by_head.narrow(0, 0, heads + kv_heads), cos.narrow(0, length, tokens),
                                    sin.narrow(0, length, tokens));
  layer.keys.narrow(1, length, tokens).copy_(turned.narrow(0, heads, kv_heads));
  layer.values.narrow(1, length, tokens).copy_(by_head.narrow(0, heads + kv_heads, kv_heads));
  const at::Tensor keys = layer.keys.narrow(1, 0, length + tokens);
  const at::Tensor values = layer.values.narrow(1, 0, length + tokens);

  const std::int64_t group = heads / kv_heads;
  at::Tensor context;
  if (tokens == 1) {
    // One query sees every key: a group's heads are the rows of one product with their keys.
    const at::Tensor query = turned.narrow(0, 0, heads).view({1, kv_heads, group, config.head_dim});
    context = at::scaled_dot_product_attention(query, keys.unsqueeze(0), values.unsqueeze(0));
    return at::linear(context.reshape({1, -1}), layer.out);
  }
  // Prefill from an empty cache, so the causal mask is square.
  const auto repeated = [&](const at::Tensor& t) {
    return t.unsqueeze(1).expand({-1, group, -1, -1}).reshape({1, heads, length + tokens, config.head_dim});
  };
  context = at::scaled_dot_product_attention(turned.narrow(0, 0, heads).unsqueeze(0), repeated(keys),
                                             repeated(values), std::nullopt, 0.0, true);
  return at::linear(context.squeeze(0).transpose(0, 1).reshape({tokens, -1}), layer.out);
}

at::Tensor TorchQwen2::Model::run(std::span<const TokenId> tokens) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (count > 1 && length > 0) throw Error("several tokens on a filled cache", "the LibTorch peer");
  const at::Tensor ids =
      at::from_blob(const_cast<TokenId*>(tokens.data()), {count}, at::TensorOptions(at::kInt));
  at::Tensor x = at::embedding(embedding, ids);
  for (Layer& layer : layers) {
    x.add_(attention(layer, normed(x, layer.input_norm)));
    const at::Tensor gate_up = at::linear(normed(x, layer.post_norm), layer.gate_up);
    const at::Tensor gate = gate_up.narrow(1, 0, config.intermediate_size);
    const at::Tensor up = gate_up.narrow(1, config.intermediate_size, config.intermediate_size);
    x.add_(at::linear(at::silu(gate).mul_(up), layer.down));
  }
  length += count;
  return at::linear(normed(x.narrow(0, count - 1, 1), norm), head);
}

TorchQwen2::TorchQwen2(const std::filesystem::path& directory, std::int64_t capacity)
    : model_(std::make_unique<Model>()) {
  const at::InferenceMode no_autograd;
  model_->load(directory, capacity);
}

TorchQwen2::~TorchQwen2() = default;

void TorchQwen2::set_threads(int threads) {
  at::set_num_threads(threads);
}

std::span<const float> TorchQwen2::forward(std::span<const TokenId> tokens) {
  const at::InferenceMode no_autograd;
  model_->logits = model_->run(tokens);
  return {model_->logits.data_ptr<float>(), static_cast<std::size_t>(model_->logits.numel())};
}

void TorchQwen2::crop(std::int64_t length) {
  model_->length = length;
}

}  // namespace plumbline::bench
