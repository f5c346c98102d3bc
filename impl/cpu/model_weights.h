// A checkpoint's tensors as the CPU ops read them: f32, straight from the mapping where they lie there as
// f32.
#pragma once

#include <deque>
#include <vector>

#include "harness/model.h"
#include "impl/cpu/float_buffer.h"
#include "impl/cpu/linear.h"
#include "impl/weights.h"

namespace plumbline::native {

struct LayerWeights {
  const float* input_layernorm = nullptr;           // [hidden]
  const float* post_attention_layernorm = nullptr;  // [hidden]
  LinearWeights q_proj;
  LinearWeights k_proj;
  LinearWeights v_proj;
  LinearWeights o_proj;
  LinearWeights gate_proj;
  LinearWeights up_proj;
  LinearWeights down_proj;
};

class ModelWeights {
 public:
  // `checkpoint` must have passed check(config), and outlive this. bf16 and f16 tensors are widened into
  // memory of their own (exact).
  ModelWeights(const Checkpoint& checkpoint, const ModelConfig& config);

  const float* embedding() const { return embedding_; }  // [vocab, hidden]
  const float* norm() const { return norm_; }            // [hidden]
  const LinearWeights& head() const { return head_; }    // [vocab, hidden]
  const std::vector<LayerWeights>& layers() const { return layers_; }

 private:
  const float* floats(const Checkpoint& checkpoint, const std::string& name);
  LinearWeights linear(const Checkpoint& checkpoint, const std::string& name, bool bias);

  std::deque<FloatBuffer> widened_;
  const float* embedding_ = nullptr;
  const float* norm_ = nullptr;
  LinearWeights head_;
  std::vector<LayerWeights> layers_;
};

}  // namespace plumbline::native
