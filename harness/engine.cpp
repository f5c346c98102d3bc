#include "harness/engine.h"

namespace plumbline {

void ProbeSink::modify(const ProbeId& id, const MutableTensorView&) {
  throw InternalError("probe sink asked to write " + site_name(id.site) + " but has no modify()");
}

}  // namespace plumbline
