#include "harness/tolerance_row.h"

namespace plumbline {

DType kept_dtype(OpSite site, const RecordedStep& step, DType storage) {
  const ProbeSpec& spec = probe_spec(site.probe);
  if (spec.op == OpClass::cache_update) return step.cache_dtype().value_or(storage);
  return is_floating(spec.dtype) ? kept_in(site.probe, storage, step.precision()) : spec.dtype;
}

const Tolerance& tolerance_of(OpSite site, OpClass judged_as, const RecordedStep& step, DType storage,
                              DeviceKind device, const Tolerances& tolerances) {
  const DType kept = kept_dtype(site, step, storage);
  return tolerances.op(judged_as, is_floating(kept) ? kept : storage, device);
}

}  // namespace plumbline
