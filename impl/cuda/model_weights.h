// A checkpoint's tensors in device memory, in the storage dtype.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "harness/model.h"
#include "impl/cuda/linear.h"
#include "impl/cuda/memory.h"
#include "impl/layer_weights.h"
#include "impl/weights.h"

namespace plumbline::native::cuda {

// Pointers are to the device.
using LayerWeights = LayerWeightsOf<const void*, LinearLayer>;

class ModelWeights {
 public:
  // `checkpoint` must have passed check(config). Tensors of another dtype than `storage` (f32 or bf16) are
  // converted on the way, to nearest, ties to even. Throws Error for a value that becomes infinite so, and
  // where the device has too little memory: it says how much is needed and free, before anything is
  // allocated. Waits until all is there.
  ModelWeights(Stream stream, const Checkpoint& checkpoint, const ModelConfig& config, DType storage);

  const void* embedding() const { return embedding_; }  // [vocab, hidden]
  const void* norm() const { return norm_; }            // [hidden]
  const LinearLayer& head() const { return head_; }     // [vocab, hidden]
  const std::vector<LayerWeights>& layers() const { return layers_; }

 private:
  void place(const Checkpoint& checkpoint, const ModelConfig& config);
  void upload(Stream stream, const Checkpoint& checkpoint);
  const void* tensor(const std::string& name) const;
  LinearLayer linear(const Checkpoint& checkpoint, const std::string& name, bool bias) const;

  DType storage_;
  DeviceBuffer memory_;
  std::map<std::string, std::size_t> offsets_;  // of each tensor, bytes into memory_
  const void* embedding_ = nullptr;
  const void* norm_ = nullptr;
  LinearLayer head_;
  std::vector<LayerWeights> layers_;
};

}  // namespace plumbline::native::cuda
