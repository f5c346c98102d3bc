// What several verbs share: engines and tokenizers by name, prompts from options.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "harness/model.h"
#include "harness/tokenizer.h"

namespace plumbline::cli {

// "cpu", "cuda" or "reference". `stream`: holds one layer of weights at a time, which the reference can.
// `device`: where the reference computes, "cpu" or "cuda"; empty for the others, whose names say it. Throws
// Error for another name, a dtype or device that the engine lacks, a broken checkpoint.
std::unique_ptr<Engine> make_engine(const std::string& name, const std::filesystem::path& model, DType dtype,
                                    int threads = 0, const std::string& isa = {}, bool stream = false,
                                    const std::string& device = {});

// For --stream: memory that is let go of is the system's again at once, not kept for the next of its size.
void give_memory_back();

// "native" or "reference".
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& name, const std::filesystem::path& model);

// "1,2,3". Throws Error for anything but whole numbers that fit a token id.
std::vector<TokenId> parse_tokens(const std::string& list);

// The tokens of --prompt or --tokens, one of which must be given; with a system text the prompt becomes a
// ChatML conversation that asks for the assistant's answer.
struct PromptOptions {
  std::string prompt;
  std::string tokens;
  std::string system;
};
std::vector<TokenId> prompt_tokens(const PromptOptions& options, bool prompt_given, bool system_given,
                                   const std::filesystem::path& model);

// Throws Error for a prompt that is longer than the model's context.
void require_context(const std::vector<TokenId>& prompt, const ModelConfig& config);

std::string read_file(const std::filesystem::path& path);  // throws Error
std::string join(const std::vector<TokenId>& ids);         // "1 2 3"

}  // namespace plumbline::cli
