// What a model's caches hold.
#pragma once

#include "harness/model.h"
#include "impl/cache/run.h"

namespace plumbline::native {

CacheShape cache_shape(const ModelConfig& config);

}  // namespace plumbline::native
