#include "tests/impl/generation/capture_support.h"

#include <fstream>
#include <iterator>
#include <map>

#include <catch2/catch.hpp>

namespace plumbline::native::testing {

namespace fs = std::filesystem;

fs::path shard(const fs::path& directory, int number) {
  return directory / ("capture-0000" + std::to_string(number) + ".safetensors");
}

std::size_t files_in(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator{}));
}

Tensor tensor_of(const TensorFile& file, const std::string& name) {
  for (const NamedTensor& each : file.tensors) {
    if (each.name == name) return each.tensor;
  }
  FAIL("no tensor " << name);
  return {};
}

std::vector<ActivationOrigin> origins_of(const TensorFile& file) {
  const Tensor sequence = tensor_of(file, "origin.sequence"), position = tensor_of(file, "origin.position"),
               step = tensor_of(file, "origin.step"), token = tensor_of(file, "origin.token");
  REQUIRE(sequence.dtype() == DType::i64);
  REQUIRE(token.dtype() == DType::i32);
  std::vector<ActivationOrigin> origins;
  for (std::size_t i = 0; i < sequence.values<std::int64_t>().size(); ++i) {
    origins.push_back({static_cast<SequenceId>(sequence.values<std::int64_t>()[i]),
                       position.values<std::int64_t>()[i], token.values<std::int32_t>()[i],
                       step.values<std::int64_t>()[i]});
  }
  return origins;
}

std::vector<ActivationOrigin> expected_origins(const std::vector<Call>& calls) {
  std::vector<ActivationOrigin> origins;
  std::map<SequenceId, std::int64_t> length, steps;
  for (const Call& call : calls) {
    for (const Piece& piece : call) {
      for (const TokenId token : piece.tokens) {
        origins.push_back({piece.sequence, length[piece.sequence]++, token, steps[piece.sequence]});
      }
      ++steps[piece.sequence];
    }
  }
  return origins;
}

std::uintmax_t expected_size(const fs::path& path, const TensorFile& file) {
  std::uint64_t header = 0;
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(&header), sizeof header);
  std::uintmax_t size = sizeof header + header;
  for (const NamedTensor& each : file.tensors) size += each.tensor.bytes().size();
  return size;
}

}  // namespace plumbline::native::testing
