// Files of named tensors in the safetensors format: traces and goldens. Checkpoints are read by each engine's
// own loader, never by this.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "harness/tensor.h"

namespace plumbline {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;  // as the header lists them
};

// Throws Error for an unreadable or truncated file, an impossible header, an unknown dtype, a tensor that
// leaves the file. Allocates nothing that the file merely claims.
TensorFile read_tensor_file(const std::filesystem::path& path);

struct NamedView {
  std::string name;
  TensorView view;  // contiguous, on the host
};

// Writes the file whole or not at all. Throws Error when it cannot be written.
void write_tensor_file(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<NamedView>& tensors);

}  // namespace plumbline
