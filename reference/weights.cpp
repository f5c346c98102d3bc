#include "reference/weights.h"

#include <algorithm>
#include <set>
#include <string>

#include "harness/error.h"
#include "harness/weight_hash.h"
#include "reference/config.h"
#include "reference/internal/checkpoint.h"
#include "reference/internal/json_fields.h"

namespace plumbline::reference {
namespace {

DType config_dtype(const ModelConfig& config) {
  if (config.dtype.empty() || config.dtype == "float32") return DType::f32;
  if (config.dtype == "bfloat16") return DType::bf16;
  if (config.dtype == "float16") return DType::f16;
  if (config.dtype == "float64") return DType::f64;
  throw Error("dtype " + config.dtype + " is not known here", "config.json", "float32, bfloat16 or float16");
}

// A shard is named as a plain file of the checkpoint's own directory.
std::filesystem::path shard_path(const std::filesystem::path& directory, const nlohmann::json& value,
                                 const std::string& where) {
  if (!value.is_string()) throw Error("weight_map names something that is no file", where);
  const std::filesystem::path name = value.get<std::string>();
  if (name.empty() || name != name.filename() || name == ".." || name == ".") {
    throw Error("weight_map names '" + name.string() + "'", where, "a file beside the index is expected");
  }
  return directory / name;
}

bool same_bytes(const StoredLocation& a, const StoredLocation& b) {
  if (a.size != b.size) return false;
  TensorPieces left(a), right(b);
  for (;;) {
    const std::span<const std::byte> x = left.next(), y = right.next();
    if (!std::equal(x.begin(), x.end(), y.begin(), y.end())) return false;
    if (x.empty()) return true;
  }
}

TensorIndex index_shards(const std::filesystem::path& directory, const std::filesystem::path& index_path) {
  const std::string where = index_path.string();
  const nlohmann::json json = parse_json_object(read_text_file(index_path), where);
  const nlohmann::json map = json.value("weight_map", nlohmann::json());
  if (!map.is_object()) throw Error("has no weight_map", where);
  std::map<std::filesystem::path, TensorIndex> shards;
  for (const auto& [name, value] : map.items()) {
    const std::filesystem::path path = shard_path(directory, value, where);
    if (!shards.contains(path)) shards[path] = read_safetensors_header(path);
    if (!shards[path].contains(name)) {
      throw Error("lacks " + name, path.string(), "the index places it there");
    }
  }
  // As Hugging Face reads it: the index says which files, and all that they hold is taken.
  TensorIndex index;
  for (const auto& [path, tensors] : shards) {
    for (const auto& [name, location] : tensors) {
      if (!index.emplace(name, location).second) throw Error("is in two files", path.string() + ": " + name);
    }
  }
  return index;
}

}  // namespace

std::vector<WeightEntry> expected_weights(const ModelConfig& config) {
  const DerivedArchitecture sizes = derive(config);
  const DType dtype = config_dtype(config);
  std::vector<WeightEntry> entries;
  const auto add = [&](const std::string& name, Shape shape, bool tied = false) {
    entries.push_back({name, shape, dtype, tied});
  };
  add("model.embed_tokens.weight", {config.vocab_size, config.hidden_size});
  add("model.norm.weight", {config.hidden_size});
  add("lm_head.weight", {config.vocab_size, config.hidden_size}, config.tie_word_embeddings);
  for (std::int64_t n = 0; n < config.num_hidden_layers; ++n) {
    const std::string layer = "model.layers." + std::to_string(n) + ".";
    add(layer + "input_layernorm.weight", {config.hidden_size});
    add(layer + "self_attn.q_proj.weight", {sizes.query_dim, config.hidden_size});
    add(layer + "self_attn.q_proj.bias", {sizes.query_dim});
    for (const char* projection : {"k_proj", "v_proj"}) {
      add(layer + "self_attn." + projection + ".weight", {sizes.key_value_dim, config.hidden_size});
      add(layer + "self_attn." + projection + ".bias", {sizes.key_value_dim});
    }
    add(layer + "self_attn.o_proj.weight", {config.hidden_size, sizes.query_dim});
    add(layer + "post_attention_layernorm.weight", {config.hidden_size});
    add(layer + "mlp.gate_proj.weight", {config.intermediate_size, config.hidden_size});
    add(layer + "mlp.up_proj.weight", {config.intermediate_size, config.hidden_size});
    add(layer + "mlp.down_proj.weight", {config.hidden_size, config.intermediate_size});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

TensorIndex index_checkpoint(const std::filesystem::path& directory) {
  const std::filesystem::path single = directory / "model.safetensors";
  const std::filesystem::path sharded = directory / "model.safetensors.index.json";
  if (std::filesystem::exists(single)) return read_safetensors_header(single);
  if (std::filesystem::exists(sharded)) return index_shards(directory, sharded);
  throw Error("has no weights", directory.string(), "model.safetensors or model.safetensors.index.json");
}

std::vector<WeightEntry> stored_weights(const std::filesystem::path& directory) {
  std::vector<WeightEntry> entries;
  for (const auto& [name, location] : index_checkpoint(directory)) {
    entries.push_back({name, location.shape, location.dtype, false});
  }
  return entries;
}

void check_against(const TensorIndex& index, const std::vector<WeightEntry>& expected,
                   const std::filesystem::path& directory) {
  for (const WeightEntry& entry : expected) {
    if (entry.tied && !index.contains(entry.name)) continue;
    const auto found = index.find(entry.name);
    if (found == index.end()) throw Error("lacks " + entry.name, directory.string());
    const std::string where = found->second.file.string() + ": " + entry.name;
    if (!(found->second.shape == entry.shape)) {
      throw Error(
          "has shape " + found->second.shape.to_string() + ", the config asks for " + entry.shape.to_string(),
          where);
    }
    if (!is_floating(found->second.dtype)) throw Error("is not floating point", where);
    const auto embedding = index.find("model.embed_tokens.weight");
    const bool comparable = entry.tied && embedding != index.end();
    if (comparable && !same_bytes(found->second, embedding->second)) {
      throw Error(
          "differs from the embedding that config.json ties it to", where,
          "readers disagree on which of the two is meant: set tie_word_embeddings to false, or drop it");
    }
  }
  std::set<std::string> known;
  for (const WeightEntry& entry : expected) known.insert(entry.name);
  for (const auto& [name, location] : index) {
    const bool is_rotary_table = name.ends_with("rotary_emb.inv_freq");  // old checkpoints store it
    if (!is_rotary_table && !known.contains(name)) {
      throw Error("is no weight of this model", location.file.string() + ": " + name);
    }
  }
}

std::string hash_checkpoint(const TensorIndex& index) {
  std::vector<StoredTensor> tensors;
  for (const auto& [name, location] : index) {
    const StoredLocation* const at = &location;
    tensors.push_back({name, at->dtype, at->shape, [at](const TakeBytes& take) {
                         TensorPieces pieces(*at);
                         for (auto piece = pieces.next(); !piece.empty(); piece = pieces.next()) take(piece);
                       }});
  }
  return weight_hash(std::move(tensors));
}

}  // namespace plumbline::reference
