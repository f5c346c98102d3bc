// Makes Qwen2 checkpoints of random weights: the full shapes, for speed and memory, and slim, a small one
// with the habits of real checkpoints. Integer arithmetic alone, so that a seed gives the same bytes on every
// processor: each value is a whole number of at most 7 bits times a power of two, exact in bf16 and in f32, a
// function of seed, tensor and place.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "harness/output_file.h"
#include "harness/verdict.h"

namespace {

using namespace plumbline;
using Json = nlohmann::ordered_json;

constexpr int kMostShards = 32;

struct Preset {
  std::string name;
  std::int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
  bool tied;
  bool habits;  // key biases in the hundreds, residual channels in the thousands, norm weights far from 1
};

const std::vector<Preset> kPresets{
    {"slim", 96, 264, 4, 6, 2, 16, 151936, true, true},
    {"0.5b", 896, 4864, 24, 14, 2, 64, 151936, true, false},    // Qwen2.5-0.5B
    {"1.5b", 1536, 8960, 28, 12, 2, 128, 151936, true, false},  // Qwen2.5-1.5B
    {"7b", 3584, 18944, 28, 28, 4, 128, 152064, false, false},  // Qwen2.5-7B
};

const Preset& preset(const std::string& name) {
  for (const Preset& each : kPresets) {
    if (each.name == name) return each;
  }
  throw Error("unknown shape '" + name + "'", "--shape", "slim, 0.5b, 1.5b or 7b");
}

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection on 64 bits that mixes well.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Near normal: the sum of four 6-bit numbers about 0, -126 to 126, standard deviation 36.9.
int bell(std::uint64_t bits) {
  const auto field = [&](int i) { return static_cast<int>((bits >> (6 * i)) & 63); };
  return field(0) + field(1) + field(2) + field(3) - 126;
}

float scaled(int k, int exponent) {
  return static_cast<float>(k) * std::bit_cast<float>(static_cast<std::uint32_t>(127 + exponent) << 23);
}

// The exponent that gives `bell` a deviation of about 1 / sqrt(fan_in): half the bits of 36.9^2 * fan_in.
int linear_exponent(std::int64_t fan_in) {
  return -(std::bit_width(static_cast<std::uint64_t>(1361 * fan_in)) / 2);
}

struct TensorPlan {
  std::string name;
  std::vector<std::int64_t> shape;
  std::function<float(std::uint64_t bits, std::int64_t index)> value;
  std::int64_t elements() const {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    return count;
  }
};

class Plan {
 public:
  explicit Plan(const Preset& p) : p_(p) {
    matrix("model.embed_tokens.weight", p.vocab, p.hidden,
           1024);  // deviation 1/32, as trained embeddings have
    for (std::int64_t i = 0; i < p.layers; ++i) layer(fmt::format("model.layers.{}.", i), i == 0);
    norm("model.norm.weight");
    if (!p.tied) matrix("lm_head.weight", p.vocab, p.hidden, p.hidden);
  }
  const std::vector<TensorPlan>& tensors() const { return tensors_; }

 private:
  void layer(const std::string& prefix, bool first) {
    const std::int64_t query_dim = p_.heads * p_.head_dim, kv_dim = p_.kv_heads * p_.head_dim;
    norm(prefix + "input_layernorm.weight");
    norm(prefix + "post_attention_layernorm.weight");
    // Small queries against large key biases: scores of some tens, as real layers have them.
    projection(prefix + "self_attn.q_proj", query_dim, p_.habits ? -8 : -5, p_.habits ? -5 : 0);
    projection(prefix + "self_attn.k_proj", kv_dim, p_.habits ? 1 : -2);  // deviation 74 or 9
    projection(prefix + "self_attn.v_proj", kv_dim, -8);
    matrix(prefix + "self_attn.o_proj.weight", p_.hidden, query_dim, query_dim);
    matrix(prefix + "mlp.gate_proj.weight", p_.intermediate, p_.hidden, p_.hidden);
    matrix(prefix + "mlp.up_proj.weight", p_.intermediate, p_.hidden, p_.hidden);
    matrix(prefix + "mlp.down_proj.weight", p_.hidden, p_.intermediate, p_.intermediate, first && p_.habits);
  }

  void projection(const std::string& name, std::int64_t outputs, int bias_exponent, int weight_shift = 0) {
    matrix(name + ".weight", outputs, p_.hidden, p_.hidden << (-2 * weight_shift));
    tensors_.push_back({name + ".bias", {outputs}, [bias_exponent](std::uint64_t bits, std::int64_t) {
                          return scaled(bell(bits), bias_exponent);
                        }});
  }

  // `outliers`: three output channels are 64 times the others.
  void matrix(const std::string& name, std::int64_t rows, std::int64_t columns, std::int64_t fan_in,
              bool outliers = false) {
    const int exponent = linear_exponent(fan_in);
    tensors_.push_back({name, {rows, columns}, [=](std::uint64_t bits, std::int64_t index) {
                          const std::int64_t row = index / columns;
                          const bool large = outliers && (row == 5 || row == 41 || row == 77);
                          return scaled(bell(bits), exponent + (large ? 6 : 0));
                        }});
  }

  // 1 to 2 in steps of 1/64; with habits times 2^-2 to 2^2.
  void norm(const std::string& name) {
    const bool habits = p_.habits;
    tensors_.push_back({name, {p_.hidden}, [habits](std::uint64_t bits, std::int64_t) {
                          const int mantissa = 64 + static_cast<int>(bits & 63);
                          const int power = habits ? static_cast<int>((bits >> 6) % 5) - 2 : 0;
                          return scaled(mantissa, power - 6);
                        }});
  }

  Preset p_;
  std::vector<TensorPlan> tensors_;
};

Json config_of(const Preset& p, const std::string& dtype) {
  return {{"architectures", {"Qwen2ForCausalLM"}},
          {"model_type", "qwen2"},
          {"hidden_act", "silu"},
          {"hidden_size", p.hidden},
          {"intermediate_size", p.intermediate},
          {"num_hidden_layers", p.layers},
          {"num_attention_heads", p.heads},
          {"num_key_value_heads", p.kv_heads},
          {"vocab_size", p.vocab},
          {"max_position_embeddings", 32768},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1000000.0},
          {"tie_word_embeddings", p.tied},
          {"use_sliding_window", false},
          {"bos_token_id", 151643},
          {"eos_token_id", 151645},
          {"torch_dtype", dtype == "bf16" ? "bfloat16" : "float32"}};
}

std::string header_of(std::span<const TensorPlan> tensors, std::int64_t bytes_per_value, bool bf16) {
  Json header;
  std::int64_t offset = 0;
  for (const TensorPlan& tensor : tensors) {
    const std::int64_t end = offset + tensor.elements() * bytes_per_value;
    header[tensor.name] = {
        {"dtype", bf16 ? "BF16" : "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

// `key` tells the tensors apart: FNV-1a of the name, mixed with the seed.
std::uint64_t tensor_key(const std::string& name, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix(hash ^ mix(seed));
}

template <typename Stored, typename Convert>
void write_tensor(OutputFile& file, const TensorPlan& tensor, std::uint64_t seed, const Convert& convert) {
  constexpr std::int64_t kChunk = 1 << 20;
  const std::uint64_t key = tensor_key(tensor.name, seed);
  std::vector<Stored> chunk;
  for (std::int64_t begin = 0; begin < tensor.elements(); begin += kChunk) {
    const std::int64_t end = std::min(begin + kChunk, tensor.elements());
    chunk.clear();
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint64_t bits = mix(key + static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15ull);
      chunk.push_back(convert(tensor.value(bits, i)));
    }
    file.write(std::as_bytes(std::span(chunk)));
  }
}

void write_weights(OutputFile& file, std::span<const TensorPlan> tensors, std::uint64_t seed, bool bf16) {
  const std::string header = header_of(tensors, bf16 ? 2 : 4, bf16);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const TensorPlan& tensor : tensors) {
    if (bf16) {
      write_tensor<std::uint16_t>(file, tensor, seed, [](float x) {
        return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);  // exact: 7 bits
      });
    } else {
      write_tensor<float>(file, tensor, seed, [](float x) { return x; });
    }
  }
}

// Where each shard ends: tensors are dealt out in order, a shard being full at its share of all values.
std::vector<std::size_t> shard_ends(std::span<const TensorPlan> tensors, int shards) {
  std::int64_t all = 0, dealt = 0;
  for (const TensorPlan& tensor : tensors) all += tensor.elements();
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    dealt += tensors[i].elements();
    const auto next = static_cast<std::int64_t>(ends.size()) + 1;
    if (next < shards && dealt >= all / shards * next) ends.push_back(i + 1);
  }
  ends.push_back(tensors.size());
  return ends;
}

std::string shard_name(std::size_t number, std::size_t shards) {
  return shards == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", number, shards);
}

// The files get their names at the end, all of them: the index, then the config last of all.
void write_checkpoint(const std::filesystem::path& directory, const Preset& chosen, std::uint64_t seed,
                      const std::string& dtype, int shards) {
  OutputFile config(directory / "config.json");
  config.write(config_of(chosen, dtype).dump(2) + "\n");
  config.close();
  const Plan plan(chosen);
  const std::span<const TensorPlan> tensors = plan.tensors();
  const std::vector<std::size_t> ends = shard_ends(tensors, shards);
  std::vector<std::unique_ptr<OutputFile>> files;
  Json map;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    const std::string name = shard_name(files.size() + 1, ends.size());
    files.push_back(std::make_unique<OutputFile>(directory / name));
    const auto part = tensors.subspan(begin, end - begin);
    write_weights(*files.back(), part, seed, dtype == "bf16");
    files.back()->close();
    for (const TensorPlan& tensor : part) map[tensor.name] = name;
    begin = end;
  }
  for (const auto& file : files) file->keep();
  if (ends.size() > 1) {
    OutputFile index(directory / "model.safetensors.index.json");
    index.write(Json{{"weight_map", map}}.dump(2) + "\n");
    index.keep();
  }
  config.keep();  // last: a directory without one is no checkpoint
}

int run(int argc, char** argv) {
  CLI::App app("Makes a Qwen2 checkpoint of random weights, the same bytes from the same seed everywhere.");
  app.footer("Example:\n  plumbline-make-model --shape 0.5b --dtype bf16 -o models/half-billion");
  std::string shape = "slim", dtype = "bf16", output;
  std::uint64_t seed = 0;
  int shards = 1;
  app.add_option("--shape", shape, "slim, 0.5b, 1.5b or 7b")->capture_default_str();
  app.add_option("--dtype", dtype, "bf16 or f32: the same values")->capture_default_str();
  app.add_option("--seed", seed)->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--shards", shards, "Files to deal the weights out to")
      ->capture_default_str()
      ->check(CLI::Range(1, kMostShards));
  app.add_option("-o,--output", output, "The directory to make")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    throw Error(error.what(), "", "plumbline-make-model --help");
  }
  if (dtype != "bf16" && dtype != "f32")
    throw Error("unknown dtype '" + dtype + "'", "--dtype", "bf16 or f32");
  const Preset& chosen = preset(shape);
  const OutputDirectory made(output);
  const std::filesystem::path directory = output;
  write_checkpoint(directory, chosen, seed, dtype, shards);
  return kExitPassed;
}

}  // namespace

int main(int argc, char** argv) {
  end_cleanly_on_signals();
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "plumbline-make-model: " << error.what() << '\n';
  }
  return kExitBadInput;
}
