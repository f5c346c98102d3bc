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

// The same file, its tensors read where they lie on the disk or in the page cache: for those that are read
// once. Throws as read_tensor_file does. The views live as long as this; while it does, nobody may shorten
// the file.
class MappedTensorFile {
 public:
  explicit MappedTensorFile(const std::filesystem::path& path);
  MappedTensorFile(const MappedTensorFile&) = delete;
  MappedTensorFile& operator=(const MappedTensorFile&) = delete;
  ~MappedTensorFile();
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<NamedView>& tensors() const { return tensors_; }  // as the header lists them

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
  std::map<std::string, std::string> metadata_;
  std::vector<NamedView> tensors_;
  std::vector<Tensor> copies_;  // of tensors at places where their type cannot be read
};

// Writes the file whole or not at all. Throws Error when it cannot be written.
void write_tensor_file(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<NamedView>& tensors);

}  // namespace plumbline
