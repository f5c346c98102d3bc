#include "impl/generation/row_probes.h"

#include <fnmatch.h>

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {

std::vector<OpSite> model_sites(const ModelConfig& config) {
  const std::vector<LayerType>& types = config.layer_types;
  const bool differ = std::adjacent_find(types.begin(), types.end(), std::not_equal_to<>()) != types.end();
  return forward_sites(static_cast<int>(config.num_hidden_layers), differ);
}

std::vector<OpSite> matching_sites(const ModelConfig& config, const std::vector<std::string>& patterns,
                                   std::string_view where) {
  const std::vector<OpSite> sites = model_sites(config);
  std::vector<bool> wanted(sites.size());
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (std::size_t i = 0; i < sites.size(); ++i) {
      if (fnmatch(pattern.c_str(), site_name(sites[i]).c_str(), 0) != 0) continue;
      wanted[i] = any = true;
    }
    if (!any)
      throw Error("no probe matches '" + pattern + "'", where, "docs/trace-format.md lists the names");
  }
  std::vector<OpSite> matched;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (wanted[i]) matched.push_back(sites[i]);
  }
  return matched;
}

void require_shown(const ModelConfig& config, OpSite site, std::string_view where) {
  const ProbeSpec& spec = probe_spec(site.probe);
  if (spec.scope == ProbeScope::sample) {
    throw Error(fmt::format("'{}' is no probe of the forward pass", spec.name), where);
  }
  const bool in_layers = spec.scope == ProbeScope::layer;
  if (in_layers ? site.layer < 0 || site.layer >= config.num_hidden_layers : site.layer != -1) {
    throw Error(fmt::format("'{}' of layer {} is not there: the model has {} layers", spec.name, site.layer,
                            config.num_hidden_layers),
                where);
  }
  const std::vector<OpSite> sites = model_sites(config);
  if (std::find(sites.begin(), sites.end(), site) == sites.end()) {
    throw Error(fmt::format("'{}' is not there: this model's layers have another mask probe", spec.name),
                where);
  }
}

std::int64_t axis_size(Axis axis, const ModelConfig& config) {
  switch (axis) {
    case Axis::hidden:
      return config.hidden_size;
    case Axis::query_dim:
      return config.num_attention_heads * config.head_dim;
    case Axis::key_value_dim:
      return config.num_key_value_heads * config.head_dim;
    case Axis::heads:
      return config.num_attention_heads;
    case Axis::kv_heads:
      return config.num_key_value_heads;
    case Axis::head_dim:
      return config.head_dim;
    case Axis::rotary_pairs:
      return config.head_dim / 2;
    case Axis::intermediate:
      return config.intermediate_size;
    case Axis::vocab:
      return config.vocab_size;
    case Axis::one:
      return 1;
    case Axis::tokens:
    case Axis::keys:
      return 0;
  }
  return 0;
}

std::int64_t row_width(const ModelConfig& config, Probe probe) {
  const ProbeSpec& spec = probe_spec(probe);
  // Logits are computed for the tokens they were asked for.
  if (spec.scope == ProbeScope::sample || probe == Probe::lm_head || !is_floating(spec.dtype) ||
      spec.shape.size() < 2 || spec.shape[0] != Axis::tokens) {
    return 0;
  }
  std::int64_t width = 1;
  for (std::size_t axis = 1; axis < spec.shape.size(); ++axis) width *= axis_size(spec.shape[axis], config);
  return width;
}

HostFloats::HostFloats(Engine& engine, const TensorView& view) : data_(view.as<float>()) {
  if (view.device.kind == DeviceKind::cpu && view.dtype == DType::f32 && view.is_contiguous()) return;
  const Tensor host = engine.to_host(view);
  copy_.resize(static_cast<std::size_t>(host.elements()));
  for (std::size_t i = 0; i < copy_.size(); ++i) {
    copy_[i] = static_cast<float>(element_as_f64(host.view(), static_cast<std::int64_t>(i)));
  }
  data_ = copy_.data();
}

}  // namespace plumbline::native
