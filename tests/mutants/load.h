// The third forward pass's own loader.
#pragma once

#include <vector>

#include "tests/mutants/checkpoint.h"
#include "tests/mutants/format.h"
#include "tests/mutants/linear.h"

namespace plumbline::mutants {

struct LayerWeights {
  std::vector<float> input_norm, post_norm;  // [hidden]
  Linear q, k, v, o, gate, up, down;
};

struct Model {
  Architecture architecture;
  Rows embedding;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;
  Linear head;
};

// Weights are rounded once to the storage type.
Model load(const Checkpoint& checkpoint, Mistake planted, const Format& format = {});

}  // namespace plumbline::mutants
