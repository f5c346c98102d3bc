#include "impl/cuda/sampling/penalties.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace plumbline::native::cuda {

PenaltyValues values_of(const SamplingParams& params) {
  return {static_cast<float>(params.repetition_penalty), static_cast<float>(params.frequency_penalty),
          static_cast<float>(params.presence_penalty)};
}

PenaltyEntry& PenaltyList::entry_of(TokenId token) {
  std::int32_t& place = place_[static_cast<std::size_t>(token)];
  if (place < 0) {
    place = static_cast<std::int32_t>(entries_.size());
    entries_.push_back({token, 0, 0, -0.0f});
  }
  return entries_[static_cast<std::size_t>(place)];
}

std::span<const PenaltyEntry> PenaltyList::build(std::span<const TokenId> history, std::int64_t generated,
                                                 const SamplingParams& params, std::int64_t vocab) {
  for (const PenaltyEntry& entry : entries_) place_[static_cast<std::size_t>(entry.token)] = -1;
  entries_.clear();
  if (place_.size() < static_cast<std::size_t>(vocab)) {
    place_.resize(static_cast<std::size_t>(vocab), -1);
    entries_.reserve(static_cast<std::size_t>(vocab));
  }
  if (params.repetition_penalty != 1.0) {
    for (const TokenId token : history) entry_of(token).repeated = 1;
  }
  if (params.frequency_penalty != 0.0 || params.presence_penalty != 0.0) {
    for (const TokenId token : history.last(static_cast<std::size_t>(generated))) ++entry_of(token).generated;
  }
  for (const LogitBias& each : params.logit_bias) entry_of(each.token).bias = static_cast<float>(each.bias);
  return entries_;
}

const PenaltyEntry* PenaltyList::upload(Stream stream) {
  if (entries_.size() > room_) {
    constexpr std::size_t kLeast = 1024;
    const std::size_t room = std::bit_ceil(std::max(entries_.size(), kLeast));
    staged_.reserve(room * sizeof(PenaltyEntry));
    on_device_.reserve(room * sizeof(PenaltyEntry), "the sampler's penalties");
    room_ = room;
  }
  const std::size_t bytes = entries_.size() * sizeof(PenaltyEntry);
  std::memcpy(staged_.data(), entries_.data(), bytes);
  check(cudaMemcpyAsync(on_device_.data(), staged_.data(), bytes, cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync of the penalties");
  return on_device_.as<PenaltyEntry>();
}

}  // namespace plumbline::native::cuda
