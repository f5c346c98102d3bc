// What the reference's tests share: the tiny model, its goldens, and small checkpoints made on the spot.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/engine.h"
#include "harness/replay.h"
#include "harness/tensor.h"

namespace plumbline::test {

std::filesystem::path fixture(const std::string& name);  // fixtures/NAME
std::filesystem::path tiny_model();
nlohmann::json read_json(const std::filesystem::path& path);
std::map<std::string, Tensor> read_tensors(const std::filesystem::path& path);
void write_tensors(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors);
void write_text(const std::filesystem::path& path, const std::string& text);

// A config.json of three small layers, two of them sliding, that tests change at will.
nlohmann::json small_config();
// Writes config.json and f32 random weights (seeded).
void write_random_checkpoint(const std::filesystem::path& directory, const nlohmann::json& config,
                             unsigned seed);

// Largest |a - b| / scale, scale = max(1, largest |a| of the row) if `relative`, else 1. Infinity where
// shapes differ, a value is not finite, or there is nothing to compare.
double largest_difference(const TensorView& a, const TensorView& b, bool relative = false);

std::vector<std::int64_t> counted(std::int64_t first, std::size_t count);
// Reproducible ids below `vocab`, all different while count <= vocab / 7.
std::vector<TokenId> some_tokens(std::size_t count, TokenId vocab = 1000);

// A step of tensors given by hand.
class HandMadeStep final : public RecordedStep {
 public:
  HandMadeStep(std::int64_t tokens, std::int64_t past) : tokens_(tokens), past_(past) {}
  void set(OpSite site, Tensor tensor);
  void set_given(GivenInputs given) { given_ = std::move(given); }
  const GivenInputs* given() const override { return given_ ? &*given_ : nullptr; }
  const TensorView* find(OpSite site) const override;
  const TensorView* previous_key(int) const override { return nullptr; }
  const TensorView* previous_value(int) const override { return nullptr; }
  std::int64_t past_length() const override { return past_; }
  std::int64_t tokens() const override { return tokens_; }

 private:
  std::int64_t tokens_;
  std::int64_t past_;
  std::optional<GivenInputs> given_;
  std::map<OpSite, Tensor> tensors_;
  std::map<OpSite, TensorView> views_;
};

// The message of the Error that `body` throws; empty when it throws none.
template <typename Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace plumbline::test
