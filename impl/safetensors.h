// One .safetensors file, mapped into memory: an 8-byte little-endian header length, a JSON header that gives
// each tensor's dtype, shape and byte range, then the bytes (https://github.com/huggingface/safetensors,
// README, "Format").
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "harness/tensor.h"
#include "impl/mapped_file.h"

namespace plumbline::native {

struct SafetensorsEntry {
  DType dtype = DType::f32;
  Shape shape;
  std::span<const std::byte> bytes;  // into the mapping; may be unaligned
};

class SafetensorsFile {
 public:
  // Checks the whole header before anything is read through it. Throws Error that names the file and the
  // tensor for: a header that is too long, not JSON or names a tensor twice, an unknown dtype, more than four
  // axes, byte ranges out of bounds, overlapping, leaving holes, or not matching shape x dtype.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, SafetensorsEntry, std::less<>>& tensors() const { return tensors_; }

 private:
  MappedFile file_;
  std::map<std::string, SafetensorsEntry, std::less<>> tensors_;
};

}  // namespace plumbline::native
