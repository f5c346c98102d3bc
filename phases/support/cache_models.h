// Small checkpoints of random shape and weights, for what must hold whatever the model is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace plumbline::phases {

struct RandomShape {
  std::int64_t hidden = 0, intermediate = 0, vocab = 0, heads = 0, kv_heads = 0, head_dim = 0, layers = 0;
  bool tied = false;
  std::int64_t window = 0;        // of all layers but the first; 0: none slides
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
  RandomModel(const RandomModel&) = delete;
  RandomModel& operator=(const RandomModel&) = delete;
  ~RandomModel();

  const RandomShape& shape() const { return shape_; }
  const std::filesystem::path& directory() const { return directory_; }

 private:
  void write(unsigned seed) const;

  RandomShape shape_;
  std::filesystem::path directory_;
};

}  // namespace plumbline::phases
