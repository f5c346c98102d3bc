// The sampler chain on the device: the choices of impl/sampler.h's, and the same errors, from logits that
// need not leave it.
#pragma once

#include <cstdint>
#include <memory>

#include "harness/sampling.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// Takes logits on the device, which the stream's earlier work may still be writing, and on the host. Of a
// draw that nobody watches only the token comes back: one copy, one wait, and after the first of a vocabulary
// no allocation (but where penalties or biases concern more tokens than ever before). Sinks that read are
// shown the stages on the device, those that write on the host. The bits of all stages up to the filters are
// those of impl/sampler.h's, and so are the softmax's weights; sums are exact here
// (impl/cuda/sampling/fixed.h) and rounded to f64 there. Own stream: uniform(seed, row, step) of impl/rng.h.
// For one thread at a time; the stream must outlive it.
std::shared_ptr<Sampler> make_device_sampler(Stream stream, std::uint64_t seed);

}  // namespace plumbline::native::cuda
