// A model whose decode steps run both ways: by the separate kernels of a forward pass, and by the one
// persistent kernel.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "impl/cuda/decode/step.h"
#include "impl/cuda/forward.h"
#include "impl/engine_number.h"

namespace plumbline::native::cuda::testing {

struct RandomModel {
  const char* what;
  const char* config;  // config.json
};
// Three, of sizes that a decode step takes.
std::span<const RandomModel> decode_models();

class DecodeRig {
 public:
  DecodeRig(const std::filesystem::path& directory, DType storage);

  std::unique_ptr<NativeCache> make_cache(const CacheSpec& spec) const;
  const ModelConfig& config() const { return config_; }
  // A new one, for the device as it is set up now.
  DecodeStep make_step() const { return {stream_.get(), config_, derived_, weights_, storage_}; }

  // The last token's logits, by forward().
  std::vector<float> separate(NativeCache& cache, std::span<const TokenId> tokens, SequenceId sequence = 0);
  // By `step`, which must take it; none where they are not wanted. Checks that it is one launch, which
  // neither allocates nor waits.
  std::vector<float> together(const DecodeStep& step, NativeCache& cache, TokenId token,
                              SequenceId sequence = 0, bool wanted = true);
  // Whether `step` takes `tokens` more of each sequence.
  bool takes(const DecodeStep& step, NativeCache& cache, std::span<const SequenceId> sequences,
             std::int64_t tokens, LogitsWanted wanted = LogitsWanted::last);

 private:
  // The tables of a batch on the host, those that a decode step reads.
  Tables fill_tables(const Batch& batch, NativeCache& cache);

  std::uint64_t number_ = next_engine_number();
  DType storage_;
  ModelConfig config_;
  DerivedArchitecture derived_;
  Checkpoint checkpoint_;
  StreamOwner stream_;
  ModelWeights weights_;
  std::vector<float> inv_freq_;
  std::vector<OpSite> sites_;
  std::shared_ptr<CacheMemory> memory_;
  Workspace workspace_;
  StepTables forward_tables_, step_tables_;
  DeviceBuffer logits_;
};

inline CacheSpec growing(DType dtype) {
  return {.kind = CacheKind::concat, .dtype = dtype};
}
inline CacheSpec fixed(std::int64_t capacity, DType dtype) {
  return {.kind = CacheKind::fixed, .capacity = capacity, .dtype = dtype};
}

// A prompt, then tokens one by one, both ways, for two sequences of one cache; checks every step's logits
// and, at the end, all keys and values. Free slots of a fixed cache are full of NaN.
void same_both_ways(DecodeRig& rig, CacheSpec spec, std::size_t prompt, unsigned steps);

// Everything that a cache holds of a sequence, the keys of all layers and then the values, as f32.
std::vector<float> cached(const NativeCache& cache, SequenceId sequence = 0);

}  // namespace plumbline::native::cuda::testing
