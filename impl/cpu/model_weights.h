// A checkpoint's tensors as the CPU ops read them: matrices in the storage dtype, straight from the mapping
// where they lie there in it; norms and biases as f32 that hold values of the storage dtype.
#pragma once

#include <deque>
#include <vector>

#include "harness/model.h"
#include "impl/cpu/linear.h"
#include "impl/cpu/weight_buffer.h"
#include "impl/layer_weights.h"
#include "impl/weights.h"

namespace plumbline::native {

using LayerWeights = LayerWeightsOf<const float*, LinearWeights>;

class ModelWeights {
 public:
  // `checkpoint` must have passed check(config), and outlive this. Tensors of another dtype than `storage`
  // (f32, bf16 or f16) are converted into memory of their own, to nearest, ties to even. Throws Error for a
  // value that becomes infinite so, and where there is no memory.
  ModelWeights(const Checkpoint& checkpoint, const ModelConfig& config, DType storage);

  const StoredMatrix& embedding() const { return embedding_; }  // [vocab, hidden]
  const float* norm() const { return norm_; }                   // [hidden]
  const LinearWeights& head() const { return head_; }           // [vocab, hidden]
  const std::vector<LayerWeights>& layers() const { return layers_; }

 private:
  // As it lies in the mapping; null where its dtype is another than `dtype`, or it cannot be read there.
  static const std::byte* in_place(const SafetensorsEntry& tensor, DType dtype);
  // A copy, rounded to the storage dtype, in `dtype`: that, or f32.
  const std::byte* converted(const Checkpoint& checkpoint, const std::string& name, DType dtype);
  const float* vector(const Checkpoint& checkpoint, const std::string& name);
  StoredMatrix matrix(const Checkpoint& checkpoint, const std::string& name);
  LinearWeights linear(const Checkpoint& checkpoint, const std::string& name, bool bias);

  DType storage_;
  std::deque<WeightBuffer> converted_;
  StoredMatrix embedding_;
  const float* norm_ = nullptr;
  LinearWeights head_;
  std::vector<LayerWeights> layers_;
};

}  // namespace plumbline::native
