// The tensors of a checkpoint's .safetensors files: where each lies, and its bytes. Format:
// <u64 little-endian header length> <JSON header> <data>; offsets count from the start of the data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "harness/model.h"
#include "harness/tensor.h"

namespace plumbline::reference {

struct StoredLocation {
  std::filesystem::path file;
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0;  // bytes from the start of the file
  std::uint64_t size = 0;   // bytes
};

using TensorIndex = std::map<std::string, StoredLocation>;

// The header of one file, checked: its length, JSON, dtypes, offsets inside the file, no overlap, sizes that
// match shape x dtype. Throws Error. Nothing is allocated that the file only claims to hold.
TensorIndex read_safetensors_header(const std::filesystem::path& file);

// All tensors of a checkpoint: model.safetensors, or the files that model.safetensors.index.json names.
// Throws Error where neither is there, or where a file lacks a tensor that the index places in it.
TensorIndex index_checkpoint(const std::filesystem::path& directory);

// Fills `out` (location.size bytes) from the file.
void read_tensor(const StoredLocation& location, std::span<std::byte> out);

// A tensor's bytes piece by piece, for what need not hold them all.
class TensorPieces {
 public:
  explicit TensorPieces(const StoredLocation& location);  // throws Error
  // The next piece, valid until the next call: 1 MiB, less at the end, then nothing. Throws Error.
  std::span<const std::byte> next();

 private:
  std::filesystem::path path_;
  std::ifstream stream_;
  std::uint64_t left_;
  std::vector<std::byte> piece_;
};

// SHA-256 over all tensors, as harness/weight_hash.h defines it.
std::string hash_checkpoint(const TensorIndex& index);

// Throws Error that names the first tensor of `expected` that is missing (a tied one may be), has another
// shape, or is not floating; or a tied one that does not equal the embedding.
void check_against(const TensorIndex& index, const std::vector<WeightEntry>& expected,
                   const std::filesystem::path& directory);

}  // namespace plumbline::reference
