// The probe table: every named point of the computation, in graph order, with the op that makes it and the
// probes that op reads. A new op is one entry here (docs/add-an-op.md).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tensor.h"

namespace plumbline {

// In graph order; per-layer probes repeat for each layer.
enum class Probe : std::uint8_t {
  input_ids,
  position_ids,
  attention_mask,          // all layers alike
  attention_mask_full,     // where layers differ: the full-attention layers'
  attention_mask_sliding,  //                      the sliding layers'
  inv_freq,
  cos,
  sin,
  embed_tokens,
  // per layer
  input_layernorm,
  q_proj,
  k_proj,
  v_proj,
  q_rope,
  k_rope,
  past_key,
  past_value,
  scores,
  probs,
  context,
  o_proj,
  attn_residual,
  post_attention_layernorm,
  gate_proj,
  up_proj,
  act,
  down_proj,
  mlp_residual,
  // after the layers
  norm,
  lm_head,
  // sampling
  sample_logits,
  sample_penalized,
  sample_scaled,
  sample_top_k,
  sample_top_p,
  sample_min_p,
  sample_probs,
  sample_noise,
  sample_token,
};
inline constexpr int kProbeCount = static_cast<int>(Probe::sample_token) + 1;

enum class ProbeScope : std::uint8_t { model, layer, sample };

// What kind of operation makes a probe's tensor: the key of tolerances.yaml.
enum class OpClass : std::uint8_t {
  token_ids,  // data of the case
  positions,  // discrete
  mask,       // discrete
  inv_freq,   // judged against the config's exact value, then data
  cos_sin,
  embedding,
  rms_norm,
  linear,
  rope,
  cache_update,
  scores,
  softmax,
  context,
  residual,
  silu_mul,
  sample_logits,  // the last row of lm_head as f32
  penalties,
  temperature,
  top_k,
  top_p,
  min_p,
  draw,             // noise and token
  fused_attention,  // the span scores..context when only context was recorded
};
inline constexpr int kOpClassCount = static_cast<int>(OpClass::fused_attention) + 1;
std::string_view op_class_name(OpClass op);
OpClass op_class_from_name(std::string_view name);  // throws Error

// Where an op's input comes from. `residual_stream` is embed_tokens for layer 0, else the previous layer's
// mlp_residual; `previous_key`/`previous_value` are the cache before this step.
enum class InputSource : std::uint8_t { probe, residual_stream, previous_key, previous_value, mask };
struct OpInput {
  InputSource source = InputSource::probe;
  Probe probe = Probe::input_ids;  // for InputSource::probe
};

// Axes of a probe's shape, by name; a ModelConfig and a step's lengths give the sizes.
enum class Axis : std::uint8_t {
  tokens,  // of this step, this sequence
  keys,    // cache length after this step
  hidden,
  query_dim,
  key_value_dim,
  heads,
  kv_heads,
  head_dim,
  rotary_pairs,
  intermediate,
  vocab,
  one,
};

struct ProbeSpec {
  Probe probe;
  std::string_view name;  // for ProbeScope::layer, what follows "model.layers.N."
  ProbeScope scope;
  OpClass op;
  std::vector<OpInput> inputs;
  std::vector<Axis> shape;
  DType dtype;                 // of f32 traces; floating probes take the engine's storage dtype otherwise
  std::string_view component;  // "embedding", "position", "attention", "norm", "mlp", "residual", "cache", …
};

// All entries, in graph order, indexed by Probe.
std::span<const ProbeSpec> probe_table();
const ProbeSpec& probe_spec(Probe probe);

// One probe of one layer. `layer` is -1 for probes outside the layers.
struct OpSite {
  Probe probe = Probe::input_ids;
  int layer = -1;
  bool operator==(const OpSite&) const = default;
};
// Graph order: before the layers, layer by layer, after them, sampling.
bool operator<(OpSite a, OpSite b);
// The name in traces and reports, without prefix: "model.layers.2.self_attn.k_rope". past_key/past_value are
// "past_key_values.N.key"/".value".
std::string site_name(OpSite site);
// Inverse of site_name; false when the name is not in the table.
bool parse_site(std::string_view name, OpSite& site);

// All sites of a forward pass of `layers` layers in graph order (sampling probes excluded). `sliding_differs`
// says whether the two mask probes replace the one.
std::vector<OpSite> forward_sites(int layers, bool sliding_differs);

}  // namespace plumbline
