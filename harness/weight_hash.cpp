#include "harness/weight_hash.h"

#include <algorithm>
#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace plumbline {
namespace {

std::string sha256_hex(const std::function<void(const TakeBytes&)>& read) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const auto must = [](int done) { require(done == 1, "SHA-256 is not available in libcrypto"); };
  must(EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr));
  read([&](std::span<const std::byte> bytes) {
    must(EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()));
  });
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  must(EVP_DigestFinal_ex(context.get(), digest, &length));
  return fmt::format("{:02x}", fmt::join(digest, digest + length, ""));
}

}  // namespace

std::string weight_hash(std::vector<StoredTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::string lines;
  for (const StoredTensor& tensor : tensors) {
    lines += fmt::format("{} {} {} {}\n", tensor.name, dtype_safetensors_name(tensor.dtype),
                         tensor.shape.to_string(), sha256_hex(tensor.read));
  }
  return sha256_hex(std::as_bytes(std::span(lines)));
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  return sha256_hex([&](const TakeBytes& take) { take(bytes); });
}

std::string sha256_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot be read", path.string());
  return sha256_hex([&](const TakeBytes& take) {
    std::vector<char> piece(1 << 20);
    while (file) {
      file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      take(std::as_bytes(std::span(piece.data(), static_cast<std::size_t>(file.gcount()))));
    }
    if (!file.eof()) throw Error("cannot be read to its end", path.string());
  });
}

}  // namespace plumbline
