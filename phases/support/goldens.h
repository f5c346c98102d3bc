// What Hugging Face gave for a checkpoint: fixtures/goldens, whose format fixtures/README.md describes. A
// third party that both sides are held against.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/generation.h"
#include "harness/model.h"
#include "harness/tensor.h"

namespace plumbline::phases {

struct GoldenPrompt {
  std::string name;
  std::string case_id;  // "3.1" or "3.2"
  std::string text;     // empty where the prompt was made of ids
  std::vector<TokenId> ids;
  std::vector<TokenId> greedy;  // new tokens; an eos is kept
  std::string greedy_text;      // of the new tokens, special tokens shown; empty without a tokenizer
  std::int64_t max_new_tokens = 0;
  StopReason stop = StopReason::max_new_tokens;
  std::filesystem::path tensors;  // hidden states and logits in f32 and f64, whole or sampled
  // By tensor, the RMS error of Hugging Face's own f32 run, and no less than it is over all prompts (one
  // position's may by luck be far smaller); empty where the tensors are whole.
  std::map<std::string, double> f32_rms;
  bool sampled() const { return !f32_rms.empty(); }
  double own_rms(const std::string& tensor) const;  // throws Error when there is none
};

// The tensors of one golden file by name. Throws Error when one that is asked for is missing.
class GoldenTensors {
 public:
  explicit GoldenTensors(const std::filesystem::path& path);
  const Tensor& at(const std::string& name) const;

 private:
  std::filesystem::path path_;
  std::map<std::string, Tensor> tensors_;
};

struct Goldens {
  std::filesystem::path directory;
  std::vector<GoldenPrompt> prompts;
  nlohmann::json config;  // resolved fields, derived values, inventory, generation defaults
  std::vector<std::int64_t> eos_token_ids;
  // Null where the goldens have none.
  nlohmann::json tokenization;  // texts with ids and decoded text; chats
  nlohmann::json sampling;      // which tensors of sampling.safetensors hold what
};

// Looked for in the folders below fixtures/goldens that have a prompts.json. The goldens of the checkpoint
// with these weights; nullopt where there are none. Throws Error for a broken file.
std::optional<Goldens> find_goldens(const std::filesystem::path& fixtures, const std::string& weight_hash);

nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace plumbline::phases
