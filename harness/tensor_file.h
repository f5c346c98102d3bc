// Files of named tensors in the safetensors format: traces and goldens. Checkpoints are read by each engine's
// own loader, never by this.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "harness/output_file.h"
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

// The same file from tensors that come one by one, and are not kept: the header comes last, into room left
// for it. Those of a type that cannot be read where they would lie wait for the end.
class TensorFileWriter {
 public:
  // `header_room`: bytes, at least header_bytes(name) for each name to come and each metadata entry. Throws
  // Error when the file cannot be written; without keep() there is none.
  TensorFileWriter(const std::filesystem::path& path, std::size_t header_room);
  static std::size_t header_bytes(const std::string& name) { return name.size() + 256; }
  void add(const std::string& name, const TensorView& view);  // contiguous, on the host
  void keep(const std::map<std::string, std::string>& metadata);

 private:
  struct Written {
    std::string name;
    DType dtype;
    Shape shape;
  };
  void write(const std::string& name, const TensorView& view);

  OutputFile file_;
  std::size_t header_room_;
  std::uint64_t bytes_ = 0;  // of data
  std::vector<Written> written_;
  std::vector<NamedTensor> waiting_;
};

}  // namespace plumbline
