// What the native engine's tests share: fixtures, goldens, scratch files, and ways to run an engine.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/engine.h"

namespace plumbline::native::testing {

std::filesystem::path source_path(std::string_view relative);
std::filesystem::path tiny_model();
// Of the zoo: rows of whole 16 bytes, as published models have them.
std::filesystem::path aligned_model();
nlohmann::json read_json(const std::filesystem::path& path);

// One tensor of a .safetensors file as f64 values.
std::vector<double> golden_values(const std::filesystem::path& file, const std::string& name);

// A directory that is removed with the object.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view bytes) const;

 private:
  std::filesystem::path path_;
};

// A safetensors file: 8-byte length, header, data.
std::string safetensors_bytes(const std::string& header, const std::string& data);

// A random Qwen2 checkpoint of the shape in `config` (config.json's text), seeded.
void write_random_model(const ScratchDirectory& directory, const std::string& config, unsigned seed);

// N(0, 1).
std::vector<float> random_floats(std::size_t count, unsigned seed);

// The message of the Error that `body` throws; empty when it throws none.
template <typename Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const Error& problem) {
    return problem.what();
  }
  return {};
}

// Runs tokens from the cache's present length on; the logits asked for, [rows, vocab].
std::vector<float> run(Engine& engine, Cache& cache, std::span<const TokenId> tokens,
                       LogitsWanted wanted = LogitsWanted::all, SequenceId sequence = 0);
std::vector<float> run(Engine& engine, Cache& cache, std::span<const TokenId> tokens, LogitsWanted wanted,
                       SequenceId sequence, ProbeSink& sink);

bool same_bits(std::span<const float> a, std::span<const float> b);
std::vector<TokenId> some_tokens(std::size_t count, std::int64_t vocab, unsigned seed);

}  // namespace plumbline::native::testing
