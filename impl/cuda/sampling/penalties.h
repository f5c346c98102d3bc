// The tokens that penalties and biases concern, counted on the host for the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "harness/sampling.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/memory.h"
#include "impl/cuda/sampling/rules.h"

namespace plumbline::native::cuda {

PenaltyValues values_of(const SamplingParams& params);

class PenaltyList {
 public:
  // Each token that a penalty or a bias of the parameters concerns, once; ids lie in [0, vocab). Good until
  // the next call.
  std::span<const PenaltyEntry> build(std::span<const TokenId> history, std::int64_t generated,
                                      const SamplingParams& params, std::int64_t vocab);
  // Queues the copy of what was built to the device, and returns where it lies there. The stream must have
  // come to a rest since the last call.
  const PenaltyEntry* upload(Stream stream);

 private:
  PenaltyEntry& entry_of(TokenId token);

  std::vector<std::int32_t> place_;  // [vocab]: in entries_; -1 for none
  std::vector<PenaltyEntry> entries_;
  std::size_t room_ = 0;  // of the two below, in entries
  PinnedBuffer staged_;
  DeviceBuffer on_device_;
};

}  // namespace plumbline::native::cuda
