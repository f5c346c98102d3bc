#include "impl/cuda/residual_sink.h"

#include "harness/error.h"
#include "impl/cuda/residual.h"

namespace plumbline::native {
namespace {

bool is_sum(Probe probe) {
  return probe == Probe::attn_residual || probe == Probe::mlp_residual;
}
bool is_stream(Probe probe) {
  return probe == Probe::embed_tokens;
}
bool is_delta(Probe probe) {
  return probe == Probe::o_proj || probe == Probe::down_proj;
}

}  // namespace

ProbeSink::Access ResidualSink::access(const ProbeId& id) const {
  if (is_sum(id.site.probe)) return Access::write;
  const Access wanted = caller_.access(id);
  const bool input = is_stream(id.site.probe) || is_delta(id.site.probe);
  return input && wanted == Access::none ? Access::read : wanted;
}

void ResidualSink::upload(const ProbeId& id, const TensorView& view) {
  const Probe probe = id.site.probe;
  if (!is_stream(probe) && !is_delta(probe)) return;
  require(view.is_contiguous(), "cuda residual: an input is not contiguous");
  Inputs& inputs = inputs_[id.sequence];
  (is_stream(probe) ? inputs.stream : inputs.delta).upload(view.as<float>(), view.elements());
}

void ResidualSink::receive(const ProbeId& id, const TensorView& view) {
  upload(id, view);
  if (caller_.access(id) != Access::none) caller_.receive(id, view);
}

void ResidualSink::modify(const ProbeId& id, const MutableTensorView& view) {
  if (is_sum(id.site.probe)) {
    add(id, view);
    return;
  }
  caller_.modify(id, view);
  upload(id, view);  // what the caller has left there is what counts
}

void ResidualSink::add(const ProbeId& id, const MutableTensorView& view) {
  require(view.is_contiguous(), "cuda residual: the sum is not contiguous");
  Inputs& inputs = inputs_[id.sequence];
  float* sum = inputs.stream.data();
  cuda_residual(sum, inputs.delta.data(), view.elements(), sum);
  const MutableTensorView on_device(sum, DType::f32, view.shape, device_);
  switch (caller_.access(id)) {
    case Access::none:
      break;
    case Access::read:
      caller_.receive(id, on_device);
      break;
    case Access::write:
      caller_.modify(id, on_device);
      break;
  }
  inputs.stream.download(static_cast<float*>(view.mutable_data), view.elements());
}

}  // namespace plumbline::native
