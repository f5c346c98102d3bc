// The sampler's probes: layer -1, sequence 0.
#pragma once

#include <cstdint>
#include <span>

#include "harness/engine.h"

namespace plumbline::native {

inline bool wanted(const ProbeSink& sink, Probe probe) {
  return sink.access({{probe, -1}, 0}) != ProbeSink::Access::none;
}

// Values on the host. Whether the sink may have changed what it was shown.
template <typename T>
bool emit(ProbeSink& sink, Probe probe, DType dtype, std::span<T> values) {
  const ProbeId id{{probe, -1}, 0};
  const ProbeSink::Access access = sink.access(id);
  if (access == ProbeSink::Access::none) return false;
  const MutableTensorView view(values.data(), dtype, {static_cast<std::int64_t>(values.size())});
  if (access == ProbeSink::Access::read) sink.receive(id, view);
  if (access == ProbeSink::Access::write) sink.modify(id, view);
  return access == ProbeSink::Access::write;
}

// What the sink leaves of it.
inline TokenId emit_token(ProbeSink& sink, TokenId token) {
  std::int64_t wide = token;
  emit(sink, Probe::sample_token, DType::i64, std::span(&wide, 1));
  return static_cast<TokenId>(wide);
}
inline double emit_noise(ProbeSink& sink, double noise) {
  emit(sink, Probe::sample_noise, DType::f64, std::span(&noise, 1));
  return noise;
}

}  // namespace plumbline::native
