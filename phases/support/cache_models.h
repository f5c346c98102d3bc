// Small checkpoints of random shape and weights, for what must hold whatever the model is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "phases/support/made_checkpoint.h"

namespace plumbline::phases {

struct RandomShape : ModelShape {
  std::string to_string() const;  // "2 layers, 6 of 2 heads of 16, hidden 33, …"
};

// Sizes that fill no lane, tile or block; one, several and grouped heads of keys. The same for a seed.
RandomShape random_shape(unsigned seed);

// config.json and model.safetensors (f32, order one after each layer) in a temporary folder that lives at
// most as long as this.
class RandomModel {
 public:
  // Throws Error where the folder cannot be written.
  RandomModel(const RandomShape& shape, unsigned seed);
  explicit RandomModel(unsigned seed) : RandomModel(random_shape(seed), seed) {}

  const RandomShape& shape() const { return shape_; }
  const std::filesystem::path& directory() const { return files_.directory(); }

 private:
  void write(unsigned seed) const;

  RandomShape shape_;
  MadeCheckpoint files_{"random"};
};

}  // namespace plumbline::phases
