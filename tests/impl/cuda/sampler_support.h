// What the tests of the device's sampler share: both samplers over one draw, with every stage on the host.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "impl/cuda/memory.h"
#include "impl/cuda/sampling/sampler.h"
#include "impl/sampler.h"
#include "tests/impl/cuda/support.h"
#include "tests/impl/sampling_support.h"

namespace plumbline::native::cuda::testing {

using native::testing::at_temperature;
using native::testing::awkward_rows;
using native::testing::Floats;
using native::testing::Ids;
using native::testing::step_of;

// Keeps every stage by name; `write` names one whose scores `change` may change.
class AnyStageSink final : public ProbeSink {
 public:
  std::vector<std::string> order;
  std::map<std::string, Floats> seen;
  std::string write;
  std::function<void(std::span<float>)> change = [](std::span<float>) {};

  Access access(const ProbeId& id) const override {
    return site_name(id.site) == write ? Access::write : Access::read;
  }
  void receive(const ProbeId& id, const TensorView& view) override {
    order.push_back(site_name(id.site));
    const auto count = static_cast<std::size_t>(view.elements());
    Floats& values = seen[order.back()];
    if (view.dtype != DType::f32) {
      for (std::size_t i = 0; i < count; ++i)
        values.push_back(static_cast<float>(element_as_f64(view, static_cast<std::int64_t>(i))));
      return;
    }
    values.resize(count);
    cudaDeviceSynchronize();
    cudaMemcpy(values.data(), view.data, count * sizeof(float), cudaMemcpyDefault);
  }
  void modify(const ProbeId& id, const MutableTensorView& view) override {
    CHECK(view.device.kind == DeviceKind::cpu);
    const auto count = static_cast<std::size_t>(view.elements());
    if (view.dtype == DType::f32) change({static_cast<float*>(view.mutable_data), count});
    order.push_back(site_name(id.site));
  }
};

// A draw, or what was refused.
struct Outcome {
  TokenId token = -1;
  std::string error;
  AnyStageSink sink;
};
inline Outcome outcome_of(Sampler& sampler, const SamplingStep& step, const SamplingParams& params,
                          AnyStageSink sink = {}) {
  Outcome outcome;
  outcome.sink = std::move(sink);
  try {
    outcome.token = sampler.sample(step, params, outcome.sink);
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

inline SamplingParams chain(double temperature, std::int64_t k, double p, double min_p) {
  SamplingParams params = at_temperature(temperature);
  params.top_k = k;
  params.top_p = p;
  params.min_p = min_p;
  return params;
}
inline SamplingParams with_penalties(SamplingParams params) {
  params.repetition_penalty = 1.3;
  params.frequency_penalty = 0.4;
  params.presence_penalty = 0.3;
  params.logit_bias = {{0, -1.5}};
  return params;
}

}  // namespace plumbline::native::cuda::testing
