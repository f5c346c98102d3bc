// The identity of a checkpoint's weights: equal for every engine that loaded the same tensors.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tensor.h"

namespace plumbline {

using TakeBytes = std::function<void(std::span<const std::byte>)>;

// One stored tensor, as it lies in its file (a tied head that is not stored is not named). `read` hands over
// its bytes in order, in as many pieces as it likes: no checkpoint need be in memory to be hashed.
struct StoredTensor {
  std::string_view name;
  DType dtype;
  Shape shape;
  std::function<void(const TakeBytes& take)> read;
};

// SHA-256, in hex, over one line per tensor in byte order of the names:
// "<name> <dtype as safetensors names it> <shape as [2, 3]> <SHA-256 of the bytes, hex>\n".
std::string weight_hash(std::vector<StoredTensor> tensors);

// SHA-256 in hex.
std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_of_file(const std::filesystem::path& path);  // throws Error for one that cannot be read

}  // namespace plumbline
