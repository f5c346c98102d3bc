#include "impl/cpu/emitter.h"

#include "harness/error.h"

namespace plumbline::native {

void Emitter::tensor(OpSite site, const BatchStep& step, const MutableTensorView& view) const {
  const ProbeId id{site, step.sequence};
  switch (sink_.access(id)) {
    case Access::none:
      return;
    case Access::read:
      return sink_.receive(id, view);
    case Access::write:
      return sink_.modify(id, view);
  }
}

void Emitter::discrete(OpSite site, const BatchStep& step, const TensorView& view) const {
  const ProbeId id{site, step.sequence};
  const Access wanted = sink_.access(id);
  if (wanted == Access::write) throw Error("cannot be written: it is discrete", site_name(site));
  if (wanted == Access::read) sink_.receive(id, view);
}

void Emitter::rows(OpSite site, float* buffer, std::int64_t width) const {
  for (const BatchStep& step : batch_.steps) {
    tensor(site, step, buffer + step.first_row * width, {step.rows, width});
  }
}

void Emitter::head_rows(OpSite site, float* buffer, std::int64_t heads, std::int64_t head_dim) const {
  for (const BatchStep& step : batch_.steps) {
    tensor(site, step, buffer + step.first_row * heads * head_dim, {step.rows, heads, head_dim});
  }
}

}  // namespace plumbline::native
