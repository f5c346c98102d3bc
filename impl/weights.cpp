#include "impl/weights.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/weight_hash.h"
#include "impl/config.h"
#include "impl/json.h"

namespace plumbline::native {
namespace {

constexpr std::string_view kHead = "lm_head.weight";
constexpr std::string_view kEmbedding = "model.embed_tokens.weight";

DType weight_dtype(const ModelConfig& config) {
  if (config.dtype.empty() || config.dtype == "float32" || config.dtype == "float") return DType::f32;
  if (config.dtype == "bfloat16") return DType::bf16;
  if (config.dtype == "float16" || config.dtype == "half") return DType::f16;
  throw Error(fmt::format("dtype '{}' is not supported", config.dtype), "config.json",
              "float32, bfloat16 or float16");
}

bool is_weight_dtype(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

// A float is finite when its exponent has a bit that is 0. Without branches inside, so that it is vectorised.
template <typename Bits>
bool finite_bits(std::span<const std::byte> bytes, Bits exponent) {
  constexpr std::size_t kBlock = 4096;
  for (std::size_t begin = 0; begin < bytes.size(); begin += kBlock * sizeof(Bits)) {
    const std::size_t count = std::min(kBlock, (bytes.size() - begin) / sizeof(Bits));
    unsigned bad = 0;
    for (std::size_t i = 0; i < count; ++i) {
      Bits bits = 0;
      std::memcpy(&bits, bytes.data() + begin + i * sizeof bits, sizeof bits);
      bad |= static_cast<Bits>(bits & exponent) == exponent ? 1u : 0u;
    }
    if (bad != 0) return false;
  }
  return true;
}

bool all_finite(const SafetensorsEntry& tensor) {
  if (tensor.dtype == DType::f32) return finite_bits<std::uint32_t>(tensor.bytes, 0x7f800000u);
  return finite_bits<std::uint16_t>(tensor.bytes, tensor.dtype == DType::bf16 ? 0x7f80 : 0x7c00);
}

// Shard name -> tensors that the index expects in it.
std::map<std::string, std::vector<std::string>> read_index(const std::filesystem::path& path) {
  const std::string where = path.string();
  const nlohmann::json index = parse_json_object(read_text_file(path), where);
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object() || map->empty()) throw Error("has no weight_map", where);
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) throw Error(fmt::format("weight_map of '{}' is not a file name", tensor), where);
    const std::string name = file.get<std::string>();
    // A shard lies beside its index: a path could reach any file.
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
      throw Error(fmt::format("weight_map of '{}' is '{}', not a plain file name", tensor, name), where);
    }
    shards[name].push_back(tensor);
  }
  return shards;
}

}  // namespace

std::vector<WeightEntry> expected_weights(const ModelConfig& config) {
  const DerivedArchitecture derived = derive(config);
  const DType dtype = weight_dtype(config);
  const std::int64_t hidden = config.hidden_size;
  std::vector<WeightEntry> entries;
  const auto add = [&](std::string name, Shape shape, bool tied = false) {
    entries.push_back({std::move(name), shape, dtype, tied});
  };
  add(std::string(kEmbedding), {config.vocab_size, hidden});
  add(std::string(kHead), {config.vocab_size, hidden}, config.tie_word_embeddings);
  add("model.norm.weight", {hidden});
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    add(prefix + "input_layernorm.weight", {hidden});
    add(prefix + "post_attention_layernorm.weight", {hidden});
    add(prefix + "self_attn.q_proj.weight", {derived.query_dim, hidden});
    add(prefix + "self_attn.q_proj.bias", {derived.query_dim});
    add(prefix + "self_attn.k_proj.weight", {derived.key_value_dim, hidden});
    add(prefix + "self_attn.k_proj.bias", {derived.key_value_dim});
    add(prefix + "self_attn.v_proj.weight", {derived.key_value_dim, hidden});
    add(prefix + "self_attn.v_proj.bias", {derived.key_value_dim});
    add(prefix + "self_attn.o_proj.weight", {hidden, derived.query_dim});
    add(prefix + "mlp.gate_proj.weight", {config.intermediate_size, hidden});
    add(prefix + "mlp.up_proj.weight", {config.intermediate_size, hidden});
    add(prefix + "mlp.down_proj.weight", {hidden, config.intermediate_size});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

std::vector<WeightEntry> stored_weights(const std::filesystem::path& directory) {
  const Checkpoint checkpoint(directory);
  std::vector<WeightEntry> entries;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    entries.push_back({name, tensor.shape, tensor.dtype, false});
  }
  return entries;
}

Checkpoint::Checkpoint(const std::filesystem::path& directory) : directory_(directory) {
  const std::filesystem::path single = directory / "model.safetensors";
  const std::filesystem::path index = directory / "model.safetensors.index.json";
  if (std::filesystem::exists(single)) {
    add_shard(single);
    return;
  }
  if (!std::filesystem::exists(index)) {
    throw Error("holds neither model.safetensors nor model.safetensors.index.json", directory.string());
  }
  for (const auto& [shard, names] : read_index(index)) {
    add_shard(directory / shard);
    for (const std::string& name : names) {
      if (!files_.back().tensors().contains(name)) {
        throw Error(fmt::format("is not in {}, where the index expects it", shard), where(name));
      }
    }
  }
}

void Checkpoint::add_shard(const std::filesystem::path& path) {
  files_.emplace_back(path);
  for (const auto& [name, tensor] : files_.back().tensors()) {
    if (!tensors_.emplace(name, tensor).second) throw Error("is in two files", where(name));
  }
}

std::string Checkpoint::where(std::string_view name) const {
  return fmt::format("{}: {}", directory_.string(), name);
}

void Checkpoint::check(const ModelConfig& config) const {
  std::set<std::string, std::less<>> known;
  for (const WeightEntry& entry : expected_weights(config)) {
    known.insert(entry.name);
    const auto found = tensors_.find(entry.name);
    if (found == tensors_.end()) {
      if (entry.tied) continue;
      throw Error("is missing", where(entry.name), "does config.json belong to these weights?");
    }
    const SafetensorsEntry& stored = found->second;
    if (!(stored.shape == entry.shape)) {
      throw Error(fmt::format("has shape {}, not {}", stored.shape.to_string(), entry.shape.to_string()),
                  where(entry.name), "does config.json belong to these weights?");
    }
    if (!is_weight_dtype(stored.dtype)) {
      throw Error(fmt::format("has dtype {}", dtype_name(stored.dtype)), where(entry.name),
                  "weights are f32, bf16 or f16");
    }
    if (!all_finite(stored)) {
      throw Error("holds NaN or infinity", where(entry.name), "no engine can run these weights");
    }
    const auto embedding = tensors_.find(kEmbedding);
    const bool comparable = entry.tied && embedding != tensors_.end();
    if (comparable && !same_bytes(stored.bytes, embedding->second.bytes)) {
      throw Error(
          "differs from the embedding that config.json ties it to", where(entry.name),
          "readers disagree on which of the two is meant: set tie_word_embeddings to false, or drop it");
    }
  }
  for (const auto& [name, tensor] : tensors_) {
    if (!known.contains(name) && !name.ends_with("rotary_emb.inv_freq")) {
      throw Error("is no tensor of this Qwen2 model", where(name), "is it a checkpoint of another kind?");
    }
  }
}

std::string Checkpoint::weight_hash() const {
  std::vector<StoredTensor> all;
  for (const auto& [name, tensor] : tensors_) {
    const std::span<const std::byte> bytes = tensor.bytes;
    all.push_back({name, tensor.dtype, tensor.shape, [bytes](const TakeBytes& take) { take(bytes); }});
  }
  return plumbline::weight_hash(std::move(all));
}

}  // namespace plumbline::native
