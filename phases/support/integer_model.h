// A checkpoint of small whole numbers, made for one case: every linear layer of an engine that runs it can be
// held to exactness (harness/exact_inputs.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "phases/support/made_checkpoint.h"

namespace plumbline::phases {

// Sizes that fill no tile, lane or block: odd, prime, and 1.
struct IntegerShape : ModelShape {
  std::string to_string() const;  // "hidden 897, intermediate 4867, vocabulary 65, …"
};

class IntegerModel {
 public:
  // Writes config.json and model.safetensors (bf16, where these numbers are exact) into a temporary folder,
  // which lives at most as long as the model. Throws Error where that cannot be written.
  explicit IntegerModel(const IntegerShape& shape);

  const IntegerShape& shape() const { return shape_; }
  const std::filesystem::path& directory() const { return files_.directory(); }
  void remove_files() const { files_.remove(); }
  // By its name in the checkpoint; empty where there is no such tensor. lm_head.weight of a tied model is its
  // embedding.
  std::span<const std::int8_t> weight(const std::string& name) const;

 private:
  struct Stored {
    std::vector<std::int64_t> shape;
    std::vector<std::int8_t> values;
  };
  void plan();
  void add(const std::string& name, std::vector<std::int64_t> shape);
  void write() const;

  IntegerShape shape_;
  std::map<std::string, Stored> tensors_;
  MadeCheckpoint files_{"integers"};
};

}  // namespace plumbline::phases
