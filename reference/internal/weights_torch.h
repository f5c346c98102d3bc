// A checkpoint's weights as LibTorch tensors, read when they are first asked for.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include <ATen/ATen.h>

#include "harness/model.h"
#include "reference/internal/checkpoint.h"

namespace plumbline::reference {

// Thread-safe: replays of several layers may run at once.
class Weights {
 public:
  // Values are rounded once to `storage`, then widened to `compute`. Throws Error for a broken checkpoint, or
  // one that lacks what the config asks for; no weight is read yet.
  Weights(const std::filesystem::path& directory, const ModelConfig& config, DType storage, DType compute);

  // "model.norm.weight"; throws Error for one that holds NaN or infinity. lm_head.weight is the embedding
  // where the config ties them.
  at::Tensor get(const std::string& name) const;
  // "self_attn.q_proj.weight" of one layer; undefined where Qwen2 has no such tensor (the bias of o_proj).
  at::Tensor layer(int layer, const std::string& name) const;
  const std::string& hash() const;

 private:
  at::Tensor load(const std::string& name, const StoredLocation& location) const;

  TensorIndex index_;
  bool tied_ = false;
  DType storage_;
  DType compute_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, at::Tensor> loaded_;
  mutable std::string hash_;
};

}  // namespace plumbline::reference
