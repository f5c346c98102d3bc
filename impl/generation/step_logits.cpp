#include "impl/generation/step_logits.h"

namespace plumbline::native {

void StepLogits::begin(const TensorView& view) {
  view_ = view;
  on_host_ = {};
}

TensorView StepLogits::for_sampler() {
  const bool on_device = view_.device.kind != DeviceKind::cpu;
  if (on_device && sampler_.takes_device_logits()) {
    return {view_.data, view_.dtype, {view_.elements()}, view_.device};
  }
  return {on_host().data(), DType::f32, {view_.elements()}};
}

// Whatever the engine computes in: sampling begins in f32.
std::span<const float> StepLogits::on_host() {
  if (!on_host_.empty()) return on_host_;
  const auto count = static_cast<std::size_t>(view_.elements());
  const bool in_place =
      view_.device.kind == DeviceKind::cpu && view_.dtype == DType::f32 && view_.is_contiguous();
  if (in_place) return on_host_ = {view_.as<float>(), count};
  const Tensor host = engine_.to_host(view_);
  copied_.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    copied_[i] = static_cast<float>(element_as_f64(host.view(), static_cast<std::int64_t>(i)));
  return on_host_ = copied_;
}

}  // namespace plumbline::native
