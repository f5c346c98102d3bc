// Which tolerance judges an op's output: that of the dtype in which an engine keeps it.
#pragma once

#include "harness/replay.h"
#include "harness/tolerance.h"

namespace plumbline {

// The dtype that this op's output is kept in by an engine of that storage: what it is to be recorded in.
DType kept_dtype(OpSite site, const RecordedStep& step, DType storage);

// `judged_as`: Replayer::judged_as of the site. Throws Error when there is no such row.
const Tolerance& tolerance_of(OpSite site, OpClass judged_as, const RecordedStep& step, DType storage,
                              DeviceKind device, const Tolerances& tolerances);

}  // namespace plumbline
