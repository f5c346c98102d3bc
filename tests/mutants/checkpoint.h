// Small random checkpoints: what the mutants run on.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "harness/tensor.h"

namespace plumbline::mutants {

struct Yarn {
  double factor = 4;
  int original_length = 16;
};

// The fields of config.json that a case varies.
struct Architecture {
  int vocab = 61;
  int hidden = 24;
  int intermediate = 40;
  int layers = 2;
  int heads = 4;
  int kv_heads = 2;
  int head_dim = 6;
  double eps = 1e-6;
  double theta = 10000;
  bool tied = false;
  int window = 0;       // keys a sliding layer sees; 0: no layer slides
  int full_layers = 0;  // layers before the first that slides
  std::optional<Yarn> yarn;

  int query_dim() const { return heads * head_dim; }
  int key_value_dim() const { return kv_heads * head_dim; }
  bool slides(int layer) const { return window > 0 && layer >= full_layers; }
};

// Which numbers the weights are.
enum class Weights {
  ordinary,
  outlier,  // four channels of the stream x 300 and more, key channels x 20, log-normal rows, large biases
  tiny_embedding,  // rows of mean square 1e-6, where eps counts
  large_scores,    // q and k so large that scores reach tens of thousands
};

struct Checkpoint {
  Architecture architecture;
  std::map<std::string, Tensor> tensors;  // under Hugging Face's names, f32 or bf16
};

// Seeded. A tied head is not stored. `dtype` is f32 or bf16.
Checkpoint random_checkpoint(const Architecture& architecture, Weights weights, unsigned seed,
                             DType dtype = DType::f32);

// config.json and model.safetensors.
void write_checkpoint(const Checkpoint& checkpoint, const std::filesystem::path& directory);

}  // namespace plumbline::mutants
