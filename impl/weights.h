// The tensors of a checkpoint: which ones a config calls for, and those that its files hold.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "harness/model.h"
#include "impl/safetensors.h"

namespace plumbline::native {

// What a checkpoint of this config must hold, with Hugging Face's names, sorted by name. A tied lm_head is
// listed with tied = true. The dtype is the config's, or f32 where it names none; throws Error for a dtype
// that no weight can have.
std::vector<WeightEntry> expected_weights(const ModelConfig& config);

// What the checkpoint's files hold, sorted by name. Throws Error as Checkpoint does.
std::vector<WeightEntry> stored_weights(const std::filesystem::path& directory);

// The mapped tensors of model.safetensors, or else of the shards that model.safetensors.index.json names.
class Checkpoint {
 public:
  // Throws Error for files that are missing or malformed, a tensor in two shards, or one that the index names
  // and its shard lacks.
  explicit Checkpoint(const std::filesystem::path& directory);

  using Tensors = std::map<std::string, SafetensorsEntry, std::less<>>;
  const Tensors& tensors() const { return tensors_; }
  std::string where(std::string_view name) const;  // "directory: name", for errors

  // Throws Error that names the tensor when one is missing or has the wrong shape, is no float (f32, bf16,
  // f16), holds NaN or infinity, or is none of this model's; rotary tables that old checkpoints store are let
  // pass. A stored lm_head of a tied model must equal the embedding: where it does not, Hugging Face's
  // readers take the stored one (transformers 5) or the embedding (transformers 4).
  void check(const ModelConfig& config) const;

  // harness/weight_hash.h over all stored tensors. Reads every byte.
  std::string weight_hash() const;

 private:
  void add_shard(const std::filesystem::path& path);

  std::filesystem::path directory_;
  std::vector<SafetensorsFile> files_;
  Tensors tensors_;
};

}  // namespace plumbline::native
