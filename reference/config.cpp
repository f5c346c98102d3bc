#include "reference/config.h"

#include <cmath>
#include <optional>
#include <string>

#include "harness/error.h"
#include "reference/internal/json_fields.h"
#include "reference/internal/rope_parameters.h"

namespace plumbline::reference {
namespace {

// Beyond any Qwen2 by orders of magnitude, and small enough that no product of sizes overflows 63 bits.
constexpr std::int64_t kLargestVocab = std::int64_t{1} << 24;
constexpr std::int64_t kLargestSize = std::int64_t{1} << 20;  // of hidden states
constexpr std::int64_t kMostHeads = std::int64_t{1} << 14;
constexpr std::int64_t kLargestHead = std::int64_t{1} << 14;
constexpr std::int64_t kMostLayers = std::int64_t{1} << 12;
constexpr std::int64_t kLargestLength = std::int64_t{1} << 40;
constexpr std::int64_t kLargestTokenId = (std::int64_t{1} << 31) - 1;

void parse_identity(const JsonFields& json, ModelConfig& config) {
  config.model_type = json.text("model_type", "");
  if (config.model_type != "qwen2") json.refuse("model_type", "only qwen2 is known here");
  if (json.has("architectures")) {
    const nlohmann::json& list = json.at("architectures");
    const bool known = list.is_array() && list.size() == 1 && list[0] == "Qwen2ForCausalLM";
    if (!known) json.refuse("architectures", "only [\"Qwen2ForCausalLM\"] is known here");
    config.architecture = list[0].get<std::string>();
  }
  if (json.has("quantization_config"))
    json.refuse("quantization_config", "quantized weights are not known here");
}

void parse_sizes(const JsonFields& json, ModelConfig& config) {
  config.vocab_size = json.integer("vocab_size", 151936, 1, kLargestVocab);
  config.hidden_size = json.integer("hidden_size", 4096, 1, kLargestSize);
  config.intermediate_size = json.integer("intermediate_size", 22016, 1, kLargestSize);
  config.num_hidden_layers = json.integer("num_hidden_layers", 32, 1, kMostLayers);
  config.max_position_embeddings = json.integer("max_position_embeddings", 32768, 1, kLargestLength);
  config.num_attention_heads = json.integer("num_attention_heads", 32, 1, kMostHeads);
  // Null means as many as query heads; absent means 32, whatever the number of query heads.
  const bool null_heads = json.present("num_key_value_heads") && !json.has("num_key_value_heads");
  config.num_key_value_heads =
      null_heads ? config.num_attention_heads : json.integer("num_key_value_heads", 32, 1, kMostHeads);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    json.refuse("num_attention_heads",
                "is no multiple of " + std::to_string(config.num_key_value_heads) + " key-value heads");
  }
}

void parse_head_dim(const JsonFields& json, ModelConfig& config) {
  const auto given = json.optional_integer("head_dim", 1, kLargestHead);
  if (!given && config.hidden_size % config.num_attention_heads != 0) {
    json.refuse("hidden_size", "is no multiple of num_attention_heads, and there is no head_dim");
  }
  config.head_dim = given.value_or(config.hidden_size / config.num_attention_heads);
  if (config.head_dim % 2 != 0) {
    throw Error("head_dim is " + std::to_string(config.head_dim) + ": must be even", json.where(),
                "rotary embedding pairs its halves");
  }
}

LayerType layer_type(const JsonFields& json, const nlohmann::json& name) {
  if (name == "full_attention") return LayerType::full_attention;
  if (name == "sliding_attention") return LayerType::sliding_attention;
  json.refuse("layer_types", "only full_attention and sliding_attention are known here");
}

// A layer slides where layer_types says so; without that list, where its index >= max_window_layers.
void parse_layers(const JsonFields& json, ModelConfig& config) {
  config.use_sliding_window = json.boolean("use_sliding_window", false);
  const auto window = json.present("sliding_window")
                          ? json.optional_integer("sliding_window", 1, kLargestLength)
                          : std::optional<std::int64_t>(4096);
  if (config.use_sliding_window) config.sliding_window = window;
  config.max_window_layers = json.integer("max_window_layers", 28, 0, kLargestSize);
  for (std::int64_t i = 0; !json.has("layer_types") && i < config.num_hidden_layers; ++i) {
    const bool slides = config.sliding_window.has_value() && i >= config.max_window_layers;
    config.layer_types.push_back(slides ? LayerType::sliding_attention : LayerType::full_attention);
  }
  if (!json.has("layer_types")) return;
  const nlohmann::json& names = json.at("layer_types");
  if (!names.is_array() || static_cast<std::int64_t>(names.size()) != config.num_hidden_layers) {
    json.refuse("layer_types", "must be a list of one type for each layer");
  }
  for (const nlohmann::json& name : names) config.layer_types.push_back(layer_type(json, name));
  for (const LayerType type : config.layer_types) {
    if (type == LayerType::sliding_attention && !config.sliding_window) {
      json.refuse("layer_types", "has a sliding layer, but there is no window",
                  "use_sliding_window and sliding_window set it");
    }
  }
}

std::string parse_dtype(const JsonFields& json) {
  std::string name = json.optional_text("dtype");
  if (name.empty()) name = json.optional_text("torch_dtype");
  constexpr std::string_view kPrefix = "torch.";
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  const bool known =
      name.empty() || name == "float32" || name == "bfloat16" || name == "float16" || name == "float64";
  if (!known) {
    json.refuse(json.has("dtype") ? "dtype" : "torch_dtype", "is not known here",
                "float32, bfloat16 or float16");
  }
  return name;
}

}  // namespace

ModelConfig parse_config(std::string_view text, std::string_view where) {
  const nlohmann::json object = parse_json_object(text, where);
  const JsonFields json(object, std::string(where));
  ModelConfig config;
  parse_identity(json, config);
  parse_sizes(json, config);
  parse_head_dim(json, config);
  config.hidden_act = json.text("hidden_act", "silu");
  if (config.hidden_act != "silu") json.refuse("hidden_act", "only silu is known here");
  config.rms_norm_eps = json.number("rms_norm_eps", 1e-6, 1e-30, 1.0);
  config.attention_dropout = json.number("attention_dropout", 0.0, 0.0, 1.0);
  config.initializer_range = json.number("initializer_range", 0.02, 0.0, 1e6);
  config.tie_word_embeddings = json.boolean("tie_word_embeddings", false);
  config.use_cache = json.boolean("use_cache", true);
  parse_layers(json, config);
  config.rope = parse_rope_parameters(json, config.max_position_embeddings);
  config.dtype = parse_dtype(json);
  config.bos_token_id = json.optional_integer("bos_token_id", 0, kLargestTokenId);
  config.pad_token_id = json.optional_integer("pad_token_id", -1, kLargestTokenId);
  config.eos_token_ids = json.integers("eos_token_id", 0, kLargestTokenId);
  return config;
}

ModelConfig load_config(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "config.json";
  return parse_config(read_text_file(path), path.string());
}

DerivedArchitecture derive(const ModelConfig& config) {
  DerivedArchitecture derived;
  const std::int64_t hidden = config.hidden_size;
  derived.query_dim = config.num_attention_heads * config.head_dim;
  derived.key_value_dim = config.num_key_value_heads * config.head_dim;
  derived.heads_per_kv_head = config.num_attention_heads / config.num_key_value_heads;
  derived.attention_scale = std::pow(static_cast<double>(config.head_dim), -0.5);
  derived.rotary_pairs = config.head_dim / 2;

  const std::int64_t q_proj = derived.query_dim * (hidden + 1);           // weight and bias
  const std::int64_t kv_proj = 2 * derived.key_value_dim * (hidden + 1);  // the same, k and v
  const std::int64_t o_proj = hidden * derived.query_dim;
  const std::int64_t mlp = 3 * hidden * config.intermediate_size;  // gate, up, down
  const std::int64_t norms = 2 * hidden;
  const std::int64_t embedding = config.vocab_size * hidden;
  derived.parameter_count = config.num_hidden_layers * (q_proj + kv_proj + o_proj + mlp + norms) + embedding +
                            hidden + (config.tie_word_embeddings ? 0 : embedding);
  return derived;
}

}  // namespace plumbline::reference
