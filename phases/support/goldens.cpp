#include "phases/support/goldens.h"

#include <algorithm>
#include <fstream>

#include "harness/error.h"
#include "harness/tensor_file.h"

namespace plumbline::phases {
namespace {

GoldenPrompt read_prompt(const nlohmann::json& entry, const std::filesystem::path& directory) {
  const nlohmann::json& greedy = entry.at("greedy");
  GoldenPrompt prompt;
  prompt.name = entry.at("name");
  prompt.case_id = entry.at("case");
  prompt.text = entry.value("text", "");
  prompt.ids = entry.at("input_ids").get<std::vector<TokenId>>();
  prompt.greedy = greedy.at("new_ids").get<std::vector<TokenId>>();
  prompt.greedy_text = greedy.value("new_text", "");
  prompt.max_new_tokens = greedy.at("max_new_tokens");
  prompt.stop = greedy.at("stop_reason") == "eos" ? StopReason::eos : StopReason::max_new_tokens;
  prompt.tensors = directory / entry.at("file").get<std::string>();
  prompt.f32_rms = entry.at("f32_error").value("rms", std::map<std::string, double>{});
  return prompt;
}

// Null where there is no such file.
nlohmann::json read_if_there(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? read_json(path) : nlohmann::json();
}

// No end token, one, or a list of them.
std::vector<std::int64_t> token_list(const nlohmann::json& ids) {
  if (ids.is_null()) return {};
  if (ids.is_number()) return {ids.get<std::int64_t>()};
  return ids.get<std::vector<std::int64_t>>();
}

Goldens read_goldens(const std::filesystem::path& directory, const nlohmann::json& manifest) {
  Goldens goldens;
  goldens.directory = directory;
  const auto over_prompts = manifest.value("f32_rms_over_prompts", std::map<std::string, double>{});
  for (const nlohmann::json& entry : manifest.at("prompts")) {
    goldens.prompts.push_back(read_prompt(entry, directory));
    for (auto& [tensor, rms] : goldens.prompts.back().f32_rms) {
      rms = std::max(rms, over_prompts.at(tensor));
    }
  }
  goldens.config = read_json(directory / "config.json");
  goldens.eos_token_ids =
      token_list(goldens.config.at("generation_config").at("effective").at("eos_token_id"));
  goldens.tokenization = read_if_there(directory / "tokenization.json");
  goldens.sampling = read_if_there(directory / "sampling.json");
  return goldens;
}

}  // namespace

double GoldenPrompt::own_rms(const std::string& tensor) const {
  const auto found = f32_rms.find(tensor);
  if (found == f32_rms.end()) {
    throw Error("no RMS error of '" + tensor + "' for prompt '" + name + "'", tensors.string(),
                "remake the goldens");
  }
  return found->second;
}

GoldenTensors::GoldenTensors(const std::filesystem::path& path) : path_(path) {
  for (NamedTensor& named : read_tensor_file(path).tensors) tensors_[named.name] = std::move(named.tensor);
}

const Tensor& GoldenTensors::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw Error("no tensor '" + name + "'", path_.string(), "remake the goldens");
  return found->second;
}

nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw Error("cannot be read", path.string());
  nlohmann::json parsed = nlohmann::json::parse(file, nullptr, false);
  if (parsed.is_discarded()) throw Error("is not JSON", path.string());
  return parsed;
}

std::optional<Goldens> find_goldens(const std::filesystem::path& fixtures, const std::string& weight_hash) {
  const std::filesystem::path root = fixtures / "goldens";
  if (!std::filesystem::is_directory(root)) return std::nullopt;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const std::filesystem::path manifest_path = entry.path() / "prompts.json";
    if (!std::filesystem::is_regular_file(manifest_path)) continue;
    const nlohmann::json manifest = read_json(manifest_path);
    try {
      if (manifest.at("weight_hash") == weight_hash) return read_goldens(entry.path(), manifest);
    } catch (const nlohmann::json::exception& error) {
      throw Error(error.what(), manifest_path.string(), "remake the goldens");
    }
  }
  return std::nullopt;
}

}  // namespace plumbline::phases
