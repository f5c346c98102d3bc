#include "harness/weight_hash.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace plumbline {
namespace {

std::string sha256_hex(std::span<const std::byte> bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  require(EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr) == 1,
          "SHA-256 is not available in libcrypto");
  return fmt::format("{:02x}", fmt::join(digest, digest + length, ""));
}

}  // namespace

std::string weight_hash(std::vector<StoredTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::string lines;
  for (const StoredTensor& tensor : tensors) {
    lines += fmt::format("{} {} {} {}\n", tensor.name, dtype_safetensors_name(tensor.dtype),
                         tensor.shape.to_string(), sha256_hex(tensor.bytes));
  }
  return sha256_hex(std::as_bytes(std::span(lines)));
}

}  // namespace plumbline
