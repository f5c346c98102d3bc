// A checkpoint that a suite makes for itself, in a temporary folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "harness/tensor_file.h"

namespace plumbline::phases {

struct ModelShape {
  std::int64_t hidden = 0, intermediate = 0, vocab = 0, heads = 0, kv_heads = 0, head_dim = 0, layers = 0;
  bool tied = false;        // no lm_head of its own
  std::int64_t window = 0;  // of all layers but the first; 0: all attend to everything
};

// The folder, which lives at most as long as this.
class MadeCheckpoint {
 public:
  // `purpose` stands in the folder's name. Throws Error where the folder cannot be made.
  explicit MadeCheckpoint(std::string_view purpose);
  MadeCheckpoint(const MadeCheckpoint&) = delete;
  MadeCheckpoint& operator=(const MadeCheckpoint&) = delete;
  ~MadeCheckpoint() { remove(); }

  const std::filesystem::path& directory() const { return directory_; }
  // model.safetensors and config.json. torch_dtype as config.json spells it: "float32". Throws Error.
  void write(const ModelShape& shape, std::int64_t max_position_embeddings, std::string_view torch_dtype,
             std::span<const NamedView> tensors) const;
  // An engine that has opened the checkpoint holds it, and a run that is killed later leaves nothing behind.
  void remove() const;

 private:
  std::filesystem::path directory_;
};

}  // namespace plumbline::phases
