// The sampler under test.
#pragma once

#include <cstdint>
#include <memory>

#include "harness/sampling.h"

namespace plumbline::phases {

// The subject's own on its device, where it has one, else the native one of the host. Sinks that listen to
// its stages see them on the host, wherever it computes.
std::shared_ptr<Sampler> subject_sampler(std::uint64_t seed = 0);

}  // namespace plumbline::phases
