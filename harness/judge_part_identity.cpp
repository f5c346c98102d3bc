// Which trace a part is of.
#include <array>
#include <fstream>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "harness/error.h"
#include "harness/judge_part.h"

namespace plumbline {
namespace {

constexpr std::size_t kPieceBytes = 256 << 10;  // a core's own cache holds it from the copy to the hash

// SHA-256 of "plumbline judge part": the first half is the polynomial's argument, of which Poly1305 takes 106
// bits. Any that has no pattern would do.
constexpr std::array<unsigned char, 32> kKey{0xfb, 0x8a, 0x69, 0x14, 0x34, 0x31, 0xd7, 0xaa, 0xcb, 0xb2, 0x89,
                                             0x29, 0xd0, 0x44, 0x92, 0x25, 0x59, 0x15, 0xf6, 0x5e, 0x57, 0x92,
                                             0xcf, 0x94, 0xd7, 0x97, 0x50, 0x9e, 0xe8, 0x01, 0x8c, 0x2f};

}  // namespace

std::string identity_of_file(const std::filesystem::path& path) {
  const auto must = [](bool done) { require(done, "Poly1305 is not available in libcrypto"); };
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_POLY1305, nullptr, kKey.data(), kKey.size()), EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  must(key && context);
  must(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);

  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot be read", path.string());
  std::vector<char> piece(kPieceBytes);
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    must(EVP_DigestSignUpdate(context.get(), piece.data(), static_cast<std::size_t>(file.gcount())) == 1);
  }
  if (!file.eof()) throw Error("cannot be read to its end", path.string());

  std::array<unsigned char, 16> tag{};
  std::size_t length = tag.size();
  must(EVP_DigestSignFinal(context.get(), tag.data(), &length) == 1 && length == tag.size());
  return fmt::format("{:02x}", fmt::join(tag, ""));
}

}  // namespace plumbline
