// Which probes a model shows, which of them have a row of floats for every token, and their values as f32.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/engine.h"

namespace plumbline::native {

// All sites of a forward pass of this model, in graph order, with the mask probes that its layers have.
std::vector<OpSite> model_sites(const ModelConfig& config);
// Those whose names the shell patterns match ("model.layers.*.mlp_residual"), in graph order. Throws Error,
// at `where`, for a pattern that matches none.
std::vector<OpSite> matching_sites(const ModelConfig& config, const std::vector<std::string>& patterns,
                                   std::string_view where);
// Throws Error, at `where`, for a site that a forward pass of this model does not show: sampling's, a layer
// that is not there, a mask that its layers do not have.
void require_shown(const ModelConfig& config, OpSite site, std::string_view where);

// Elements along the axis; 0 for one that no config fixes (tokens, keys).
std::int64_t axis_size(Axis axis, const ModelConfig& config);
// Floats of one token's row; 0 for a probe without a row of fixed length for every token (ids, masks,
// inv_freq, scores, probs, caches, logits, sampling).
std::int64_t row_width(const ModelConfig& config, Probe probe);

// The values of a floating view as f32, in logical order: where they lie if that is what they are, else a
// copy.
class HostFloats {
 public:
  HostFloats(Engine& engine, const TensorView& view);
  HostFloats(const HostFloats&) = delete;
  HostFloats& operator=(const HostFloats&) = delete;
  const float* data() const { return data_; }

 private:
  const float* data_;
  std::vector<float> copy_;
};

}  // namespace plumbline::native
