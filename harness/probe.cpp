#include "harness/probe.h"

#include <array>
#include <charconv>
#include <tuple>

#include <fmt/format.h>

namespace plumbline {
namespace {

constexpr std::array<std::string_view, kOpClassCount> kOpClassNames{
    "token_ids", "positions", "mask",     "inv_freq",      "cos_sin",         "embedding",
    "rms_norm",  "linear",    "rope",     "cache_update",  "scores",          "softmax",
    "context",   "residual",  "silu_mul", "sample_logits", "penalties",       "temperature",
    "top_k",     "top_p",     "min_p",    "draw",          "fused_attention",
};

OpInput from(Probe probe) {
  return {InputSource::probe, probe};
}
OpInput from(InputSource source) {
  return {source, Probe::input_ids};
}

std::vector<ProbeSpec> make_table() {
  using enum Probe;
  using enum Axis;
  const OpInput stream = from(InputSource::residual_stream);
  const OpInput mask = from(InputSource::mask);
  const ProbeScope model = ProbeScope::model;
  const ProbeScope layer = ProbeScope::layer;
  const ProbeScope sample = ProbeScope::sample;
  const DType f32 = DType::f32;
  return {
      {input_ids, "input_ids", model, OpClass::token_ids, {}, {tokens}, DType::i64, "input"},
      {position_ids, "position_ids", model, OpClass::positions, {}, {tokens}, DType::i64, "position"},
      {attention_mask, "attention_mask", model, OpClass::mask, {}, {tokens, keys}, DType::boolean, "mask"},
      {attention_mask_full,
       "attention_mask.full",
       model,
       OpClass::mask,
       {},
       {tokens, keys},
       DType::boolean,
       "mask"},
      {attention_mask_sliding,
       "attention_mask.sliding",
       model,
       OpClass::mask,
       {},
       {tokens, keys},
       DType::boolean,
       "mask"},
      {inv_freq, "model.rotary_emb.inv_freq", model, OpClass::inv_freq, {}, {rotary_pairs}, f32, "position"},
      {cos,
       "model.rotary_emb.cos",
       model,
       OpClass::cos_sin,
       {from(position_ids), from(inv_freq)},
       {tokens, head_dim},
       f32,
       "position"},
      {sin,
       "model.rotary_emb.sin",
       model,
       OpClass::cos_sin,
       {from(position_ids), from(inv_freq)},
       {tokens, head_dim},
       f32,
       "position"},
      {embed_tokens,
       "model.embed_tokens",
       model,
       OpClass::embedding,
       {from(input_ids)},
       {tokens, hidden},
       f32,
       "embedding"},

      {input_layernorm, "input_layernorm", layer, OpClass::rms_norm, {stream}, {tokens, hidden}, f32, "norm"},
      {q_proj,
       "self_attn.q_proj",
       layer,
       OpClass::linear,
       {from(input_layernorm)},
       {tokens, query_dim},
       f32,
       "attention"},
      {k_proj,
       "self_attn.k_proj",
       layer,
       OpClass::linear,
       {from(input_layernorm)},
       {tokens, key_value_dim},
       f32,
       "attention"},
      {v_proj,
       "self_attn.v_proj",
       layer,
       OpClass::linear,
       {from(input_layernorm)},
       {tokens, key_value_dim},
       f32,
       "attention"},
      {q_rope,
       "self_attn.q_rope",
       layer,
       OpClass::rope,
       {from(q_proj), from(cos), from(sin)},
       {tokens, heads, head_dim},
       f32,
       "position"},
      {k_rope,
       "self_attn.k_rope",
       layer,
       OpClass::rope,
       {from(k_proj), from(cos), from(sin)},
       {tokens, kv_heads, head_dim},
       f32,
       "position"},
      {past_key,
       "key",
       layer,
       OpClass::cache_update,
       {from(InputSource::previous_key), from(k_rope)},
       {keys, kv_heads, head_dim},
       f32,
       "cache"},
      {past_value,
       "value",
       layer,
       OpClass::cache_update,
       {from(InputSource::previous_value), from(v_proj)},
       {keys, kv_heads, head_dim},
       f32,
       "cache"},
      {scores,
       "self_attn.scores",
       layer,
       OpClass::scores,
       {from(q_rope), from(past_key), mask},
       {heads, tokens, keys},
       f32,
       "attention"},
      {probs,
       "self_attn.probs",
       layer,
       OpClass::softmax,
       {from(scores), mask},
       {heads, tokens, keys},
       f32,
       "attention"},
      {context,
       "self_attn.context",
       layer,
       OpClass::context,
       {from(probs), from(past_value), mask},
       {tokens, query_dim},
       f32,
       "attention"},
      {o_proj,
       "self_attn.o_proj",
       layer,
       OpClass::linear,
       {from(context)},
       {tokens, hidden},
       f32,
       "attention"},
      {attn_residual,
       "attn_residual",
       layer,
       OpClass::residual,
       {stream, from(o_proj)},
       {tokens, hidden},
       f32,
       "residual"},
      {post_attention_layernorm,
       "post_attention_layernorm",
       layer,
       OpClass::rms_norm,
       {from(attn_residual)},
       {tokens, hidden},
       f32,
       "norm"},
      {gate_proj,
       "mlp.gate_proj",
       layer,
       OpClass::linear,
       {from(post_attention_layernorm)},
       {tokens, intermediate},
       f32,
       "mlp"},
      {up_proj,
       "mlp.up_proj",
       layer,
       OpClass::linear,
       {from(post_attention_layernorm)},
       {tokens, intermediate},
       f32,
       "mlp"},
      {act,
       "mlp.act",
       layer,
       OpClass::silu_mul,
       {from(gate_proj), from(up_proj)},
       {tokens, intermediate},
       f32,
       "mlp"},
      {down_proj, "mlp.down_proj", layer, OpClass::linear, {from(act)}, {tokens, hidden}, f32, "mlp"},
      {mlp_residual,
       "mlp_residual",
       layer,
       OpClass::residual,
       {from(attn_residual), from(down_proj)},
       {tokens, hidden},
       f32,
       "residual"},

      {norm, "model.norm", model, OpClass::rms_norm, {stream}, {tokens, hidden}, f32, "norm"},
      {lm_head, "lm_head", model, OpClass::linear, {from(norm)}, {tokens, vocab}, f32, "head"},

      {sample_logits,
       "sample.logits",
       sample,
       OpClass::sample_logits,
       {from(lm_head)},
       {vocab},
       f32,
       "sampling"},
      {sample_penalized,
       "sample.penalized",
       sample,
       OpClass::penalties,
       {from(sample_logits)},
       {vocab},
       f32,
       "sampling"},
      {sample_scaled,
       "sample.scaled",
       sample,
       OpClass::temperature,
       {from(sample_penalized)},
       {vocab},
       f32,
       "sampling"},
      {sample_top_k, "sample.top_k", sample, OpClass::top_k, {from(sample_scaled)}, {vocab}, f32, "sampling"},
      {sample_top_p, "sample.top_p", sample, OpClass::top_p, {from(sample_top_k)}, {vocab}, f32, "sampling"},
      {sample_min_p, "sample.min_p", sample, OpClass::min_p, {from(sample_top_p)}, {vocab}, f32, "sampling"},
      {sample_probs,
       "sample.probs",
       sample,
       OpClass::softmax,
       {from(sample_min_p)},
       {vocab},
       f32,
       "sampling"},
      {sample_noise, "sample.noise", sample, OpClass::draw, {}, {one}, DType::f64, "sampling"},
      {sample_token,
       "sample.token",
       sample,
       OpClass::draw,
       {from(sample_probs), from(sample_noise)},
       {one},
       DType::i64,
       "sampling"},
  };
}

const std::vector<ProbeSpec>& table() {
  static const std::vector<ProbeSpec> entries = [] {
    std::vector<ProbeSpec> made = make_table();
    require(made.size() == static_cast<std::size_t>(kProbeCount), "probe table: an entry is missing");
    for (std::size_t i = 0; i < made.size(); ++i) {
      require(made[i].probe == static_cast<Probe>(i), "probe table: out of order");
    }
    return made;
  }();
  return entries;
}

// 0 before the layers, 1 in them, 2 after them, 3 sampling.
int stage(Probe probe) {
  if (probe < Probe::input_layernorm) return 0;
  if (probe <= Probe::mlp_residual) return 1;
  return probe <= Probe::lm_head ? 2 : 3;
}

bool is_cache(Probe probe) {
  return probe == Probe::past_key || probe == Probe::past_value;
}

// "12.rest" -> 12 and "rest".
bool split_layer(std::string_view text, int& layer, std::string_view& rest) {
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), layer);
  const auto used = static_cast<std::size_t>(end - text.data());
  const bool canonical = used == 1 || (used > 1 && text[0] != '0');
  if (status != std::errc{} || layer < 0 || !canonical || used >= text.size() || text[used] != '.')
    return false;
  rest = text.substr(used + 1);
  return true;
}

}  // namespace

std::string_view op_class_name(OpClass op) {
  return kOpClassNames.at(static_cast<std::size_t>(op));
}

OpClass op_class_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kOpClassNames.size(); ++i) {
    if (kOpClassNames[i] == name) return static_cast<OpClass>(i);
  }
  throw Error("unknown op class '" + std::string(name) + "'", "", "docs/tolerances.md lists them");
}

std::span<const ProbeSpec> probe_table() {
  return table();
}
const ProbeSpec& probe_spec(Probe probe) {
  return table().at(static_cast<std::size_t>(probe));
}

bool operator<(OpSite a, OpSite b) {
  return std::tuple(stage(a.probe), a.layer, a.probe) < std::tuple(stage(b.probe), b.layer, b.probe);
}

std::string site_name(OpSite site) {
  const ProbeSpec& spec = probe_spec(site.probe);
  if (spec.scope != ProbeScope::layer) return std::string(spec.name);
  return fmt::format("{}.{}.{}", is_cache(site.probe) ? "past_key_values" : "model.layers", site.layer,
                     spec.name);
}

bool parse_site(std::string_view name, OpSite& site) {
  constexpr std::string_view kLayers = "model.layers.";
  constexpr std::string_view kCaches = "past_key_values.";
  const bool in_layer = name.starts_with(kLayers);
  const bool in_cache = name.starts_with(kCaches);
  int layer = -1;
  std::string_view rest = name;
  if (in_layer || in_cache) {
    if (!split_layer(name.substr(in_layer ? kLayers.size() : kCaches.size()), layer, rest)) return false;
  }
  for (const ProbeSpec& spec : table()) {
    const bool scope_fits = (spec.scope == ProbeScope::layer) == (in_layer || in_cache);
    if (scope_fits && spec.name == rest && is_cache(spec.probe) == in_cache) {
      site = {spec.probe, layer};
      return true;
    }
  }
  return false;
}

std::vector<OpSite> forward_sites(int layers, bool sliding_differs) {
  std::vector<OpSite> sites;
  const auto add_range = [&](Probe first, Probe last, int layer) {
    for (int p = static_cast<int>(first); p <= static_cast<int>(last); ++p) {
      const Probe probe = static_cast<Probe>(p);
      const bool split = probe == Probe::attention_mask_full || probe == Probe::attention_mask_sliding;
      if (probe == Probe::attention_mask && sliding_differs) continue;
      if (split && !sliding_differs) continue;
      sites.push_back({probe, layer});
    }
  };
  add_range(Probe::input_ids, Probe::embed_tokens, -1);
  for (int layer = 0; layer < layers; ++layer) add_range(Probe::input_layernorm, Probe::mlp_residual, layer);
  add_range(Probe::norm, Probe::lm_head, -1);
  return sites;
}

}  // namespace plumbline
