#include "harness/engine.h"

namespace plumbline {

void ProbeSink::modify(const ProbeId& id, const MutableTensorView&) {
  throw InternalError("probe sink asked to write " + site_name(id.site) + " but has no modify()");
}

void Cache::evict(SequenceId, std::int64_t, std::int64_t) {
  throw Error("cannot forget tokens from the middle", "cache", "recompute without them");
}

std::shared_ptr<Sampler> Engine::device_sampler(std::uint64_t) const {
  return nullptr;
}

}  // namespace plumbline
