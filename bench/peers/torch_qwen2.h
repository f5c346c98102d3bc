// Qwen2 in f32 as one would write it with LibTorch for speed: what the native engine's speed is measured
// against (bench/forward_pairs.cpp). The reference is no measure of speed: it is literal on purpose.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "harness/model.h"

namespace plumbline::bench {

// One sequence with a preallocated key cache. Fused q/k/v and gate/up products (at::linear), fused attention,
// inference mode.
class TorchQwen2 {
 public:
  // Throws Error for a checkpoint that impl/weights.h refuses, sliding windows, or a rope type other than
  // "default".
  TorchQwen2(const std::filesystem::path& directory, std::int64_t capacity);
  ~TorchQwen2();
  TorchQwen2(const TorchQwen2&) = delete;
  TorchQwen2& operator=(const TorchQwen2&) = delete;

  // Of LibTorch as a whole: it has one pool of threads per process.
  static void set_threads(int threads);

  // Appends the tokens; logits of the last one, [vocab], valid until the next call.
  std::span<const float> forward(std::span<const TokenId> tokens);
  void crop(std::int64_t length);

 private:
  struct Model;
  std::unique_ptr<Model> model_;
};

}  // namespace plumbline::bench
