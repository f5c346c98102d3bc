#include "tests/impl/support.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <unistd.h>

#include "impl/config.h"
#include "impl/json.h"
#include "impl/positions.h"
#include "impl/safetensors.h"
#include "impl/weights.h"

namespace plumbline::native::testing {

std::filesystem::path source_path(std::string_view relative) {
  return std::filesystem::path(PLUMBLINE_SOURCE_DIR) / relative;
}

std::filesystem::path tiny_model() {
  return source_path("fixtures/models/tiny");
}

std::filesystem::path aligned_model() {
  return source_path("fixtures/models/zoo/aligned");
}

nlohmann::json read_json(const std::filesystem::path& path) {
  return parse_json_object(read_text_file(path), path.string());
}

std::vector<double> golden_values(const std::filesystem::path& file, const std::string& name) {
  const SafetensorsFile opened(file);
  const SafetensorsEntry& tensor = opened.tensors().at(name);
  const Tensor values = to_f64(TensorView(tensor.bytes.data(), tensor.dtype, tensor.shape));
  return {values.values<double>().begin(), values.values<double>().end()};
}

ScratchDirectory::ScratchDirectory() {
  static std::atomic<int> number{0};
  path_ = std::filesystem::temp_directory_path() / fmt::format("plumbline-impl-{}-{}", getpid(), ++number);
  std::filesystem::create_directories(path_);
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path ScratchDirectory::write(const std::string& name, std::string_view bytes) const {
  const std::filesystem::path path = path_ / name;
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

void write_random_model(const ScratchDirectory& directory, const std::string& config, unsigned seed) {
  directory.write("config.json", config);
  const ModelConfig parsed = parse_config(config, "test config");
  std::mt19937 generator(seed);
  nlohmann::json header;
  std::string data;
  for (const WeightEntry& weight : expected_weights(parsed)) {
    if (weight.tied) continue;
    // Scaled so that activations stay of order one.
    const double depth = weight.shape.rank() == 2 ? static_cast<double>(weight.shape[1]) : 1.0;
    const double mean = weight.name.ends_with("norm.weight") ? 1.0 : 0.0;
    std::normal_distribution<float> normal(static_cast<float>(mean),
                                           static_cast<float>(1.0 / std::sqrt(depth)));
    const std::size_t begin = data.size();
    for (std::int64_t i = 0; i < weight.shape.elements(); ++i) {
      const float value = normal(generator);
      data.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    std::vector<std::int64_t> shape;
    for (int axis = 0; axis < weight.shape.rank(); ++axis) shape.push_back(weight.shape[axis]);
    header[weight.name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  while (text.size() % 8 != 0) text += ' ';
  directory.write("model.safetensors", safetensors_bytes(text, data));
}

std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<float> run(Engine& engine, Cache& cache, std::span<const TokenId> tokens, LogitsWanted wanted,
                       SequenceId sequence, ProbeSink& sink) {
  const std::vector<std::int64_t> positions =
      position_ids(cache.length(sequence), static_cast<std::int64_t>(tokens.size()));
  const SequenceStep step{sequence, tokens, positions, wanted};
  const Logits logits = engine.forward({&step, 1}, cache, sink);
  const Tensor copy = engine.to_host(logits.steps.at(0));
  return {copy.values<float>().begin(), copy.values<float>().end()};
}

std::vector<float> run(Engine& engine, Cache& cache, std::span<const TokenId> tokens, LogitsWanted wanted,
                       SequenceId sequence) {
  NullSink sink;
  return run(engine, cache, tokens, wanted, sequence, sink);
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  if (a.empty() || b.empty()) return a.empty() && b.empty();
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::vector<TokenId> some_tokens(std::size_t count, std::int64_t vocab, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) {
    token = static_cast<TokenId>(generator() % static_cast<std::uint64_t>(vocab));
  }
  return tokens;
}

}  // namespace plumbline::native::testing
