#include "tests/reference/fixtures.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <random>

#include "harness/tensor_file.h"
#include "reference/config.h"
#include "reference/weights.h"

namespace plumbline::test {

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / name;
}

std::filesystem::path tiny_model() {
  return fixture("models/tiny");
}

nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

std::map<std::string, Tensor> read_tensors(const std::filesystem::path& path) {
  std::map<std::string, Tensor> tensors;
  for (NamedTensor& named : read_tensor_file(path).tensors)
    tensors.emplace(named.name, std::move(named.tensor));
  return tensors;
}

void write_tensors(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors) {
  std::vector<NamedView> views;
  for (const auto& [name, tensor] : tensors) views.push_back({name, tensor.view()});
  write_tensor_file(path, {}, views);
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

nlohmann::json small_config() {
  return {{"model_type", "qwen2"},
          {"architectures", {"Qwen2ForCausalLM"}},
          {"vocab_size", 50},
          {"hidden_size", 24},
          {"intermediate_size", 40},
          {"num_hidden_layers", 3},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 10},
          {"use_sliding_window", true},
          {"sliding_window", 3},
          {"max_window_layers", 1},
          {"max_position_embeddings", 64},
          {"tie_word_embeddings", false}};
}

void write_random_checkpoint(const std::filesystem::path& directory, const nlohmann::json& config,
                             unsigned seed) {
  write_text(directory / "config.json", config.dump());
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.3f);
  std::map<std::string, Tensor> tensors;
  for (const WeightEntry& entry : reference::expected_weights(reference::load_config(directory))) {
    if (entry.tied) continue;
    Tensor tensor(DType::f32, entry.shape);
    const bool is_norm = entry.name.find("norm") != std::string::npos;
    for (float& value : tensor.values<float>()) value = (is_norm ? 1.0f : 0.0f) + normal(random);
    tensors.emplace(entry.name, std::move(tensor));
  }
  write_tensors(directory / "model.safetensors", tensors);
}

double largest_difference(const TensorView& a, const TensorView& b, bool relative) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (!(a.shape == b.shape) || a.elements() == 0) return kInfinity;
  const std::int64_t row = a.shape.rank() > 0 ? a.shape[a.shape.rank() - 1] : 1;
  double largest = 0;
  for (std::int64_t first = 0; first < a.elements(); first += row) {
    double scale = 1;
    double difference = 0;
    for (std::int64_t i = first; i < first + row; ++i) {
      const double x = element_as_f64(a, i);
      const double error = std::fabs(x - element_as_f64(b, i));
      if (!std::isfinite(error)) return kInfinity;
      if (relative) scale = std::max(scale, std::fabs(x));
      difference = std::max(difference, error);
    }
    largest = std::max(largest, difference / scale);
  }
  return largest;
}

std::vector<std::int64_t> counted(std::int64_t first, std::size_t count) {
  std::vector<std::int64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

std::vector<TokenId> some_tokens(std::size_t count, TokenId vocab) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>((i * 37 + 11) % 997) % vocab);
  return tokens;
}

void HandMadeStep::set(OpSite site, Tensor tensor) {
  tensors_[site] = std::move(tensor);
  views_[site] = tensors_[site].view();
}

const TensorView* HandMadeStep::find(OpSite site) const {
  const auto found = views_.find(site);
  return found == views_.end() ? nullptr : &found->second;
}

}  // namespace plumbline::test
