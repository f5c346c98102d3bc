#include "impl/config.h"

#include <cmath>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/config_parts.h"
#include "impl/json.h"

namespace plumbline::native {
namespace {

void check_identity(const JsonFields& fields, ModelConfig& config) {
  config.model_type = fields.string("model_type", "qwen2");
  if (config.model_type != "qwen2") {
    fields.fail("model_type", fmt::format("is '{}'", config.model_type), "only qwen2 is supported");
  }
  if (const nlohmann::json* names = fields.find("architectures")) {
    const bool one = names->is_array() && names->size() == 1 && names->front().is_string();
    if (!one) fields.fail("architectures", "must be a list of one name", "Qwen2ForCausalLM");
    config.architecture = names->front().get<std::string>();
    if (config.architecture != "Qwen2ForCausalLM") {
      fields.fail("architectures", fmt::format("is '{}'", config.architecture),
                  "only Qwen2ForCausalLM is supported");
    }
  }
  config.hidden_act = fields.string("hidden_act", "silu");
  if (config.hidden_act != "silu") {
    fields.fail("hidden_act", fmt::format("is '{}'", config.hidden_act), "only silu is supported");
  }
}

void read_sizes(const JsonFields& fields, ModelConfig& config) {
  config.vocab_size = fields.integer("vocab_size", 151936, 1, kMaxTokenId);
  config.hidden_size = fields.integer("hidden_size", 4096, 1, kMaxWidth);
  config.intermediate_size = fields.integer("intermediate_size", 22016, 1, kMaxWidth);
  config.num_hidden_layers = fields.integer("num_hidden_layers", 32, 1, kMaxLayers);
  config.num_attention_heads = fields.integer("num_attention_heads", 32, 1, kMaxHeads);
  // An explicit null means as many as query heads; an absent field means 32.
  const bool is_null = !fields.has("num_key_value_heads") && fields.present("num_key_value_heads");
  config.num_key_value_heads =
      fields.integer("num_key_value_heads", is_null ? config.num_attention_heads : 32, 1, kMaxHeads);
  config.max_position_embeddings = fields.integer("max_position_embeddings", 32768, 1, kMaxLength);
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    fields.fail("num_attention_heads", fmt::format("is {}, not divisible by num_key_value_heads, {}",
                                                   config.num_attention_heads, config.num_key_value_heads));
  }
  if (!fields.has("head_dim") && config.hidden_size % config.num_attention_heads != 0) {
    fields.fail("hidden_size", fmt::format("is {}, not divisible by num_attention_heads, {}",
                                           config.hidden_size, config.num_attention_heads));
  }
  config.head_dim =
      fields.integer("head_dim", config.hidden_size / config.num_attention_heads, 1, kMaxHeadDim);
  if (config.head_dim > kMaxHeadDim) fields.fail("head_dim", fmt::format("is {}", config.head_dim));
  if (config.head_dim % 2 != 0) {
    fields.fail("head_dim", fmt::format("is {}, odd", config.head_dim), "rotary embedding pairs its halves");
  }
}

void read_scalars(const JsonFields& fields, ModelConfig& config) {
  config.rms_norm_eps = fields.number("rms_norm_eps", 1e-6);
  const bool eps_fits = config.rms_norm_eps >= 1e-30 && config.rms_norm_eps <= 1;
  if (!eps_fits) fields.fail("rms_norm_eps", "must be positive, and at most 1");
  config.attention_dropout = fields.number("attention_dropout", 0.0);
  config.initializer_range = fields.number("initializer_range", 0.02);
  config.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  config.use_cache = fields.boolean("use_cache", true);
  config.dtype = fields.string("dtype", fields.string("torch_dtype", ""));
  config.bos_token_id = fields.optional_integer("bos_token_id", 0, kMaxTokenId);
  config.pad_token_id = fields.optional_integer("pad_token_id", -1, kMaxTokenId);
  config.eos_token_ids = fields.integers("eos_token_id", 0, kMaxTokenId);
}

LayerType layer_type(const JsonFields& fields, const nlohmann::json& name) {
  if (is_text(name, "full_attention")) return LayerType::full_attention;
  if (is_text(name, "sliding_attention")) return LayerType::sliding_attention;
  fields.fail("layer_types", fmt::format("holds {}", name.dump()), "full_attention or sliding_attention");
}

void read_layers(const JsonFields& fields, ModelConfig& config) {
  config.use_sliding_window = fields.boolean("use_sliding_window", false);
  config.max_window_layers = fields.integer("max_window_layers", 28, 0, kMaxLength);
  const bool window_is_null = !fields.has("sliding_window") && fields.present("sliding_window");
  const std::int64_t window = fields.integer("sliding_window", 4096, 1, kMaxLength);
  if (config.use_sliding_window && !window_is_null) config.sliding_window = window;

  const auto layers = static_cast<std::size_t>(config.num_hidden_layers);
  const nlohmann::json* types = fields.find("layer_types");
  if (types == nullptr) {
    for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      const bool slides = config.sliding_window.has_value() && layer >= config.max_window_layers;
      config.layer_types.push_back(slides ? LayerType::sliding_attention : LayerType::full_attention);
    }
    return;
  }
  if (!types->is_array() || types->size() != layers) {
    fields.fail("layer_types", fmt::format("must be a list of {} names", layers));
  }
  for (const nlohmann::json& name : *types) config.layer_types.push_back(layer_type(fields, name));
  for (const LayerType type : config.layer_types) {
    if (type == LayerType::sliding_attention && !config.sliding_window.has_value()) {
      fields.fail("layer_types", "holds sliding_attention without a window",
                  "needs use_sliding_window and sliding_window");
    }
  }
}

std::int64_t parameter_count(const ModelConfig& c, const DerivedArchitecture& d) {
  const std::int64_t attention =
      (c.hidden_size + 1) * (d.query_dim + 2 * d.key_value_dim) +  // q, k, v, biases
      d.query_dim * c.hidden_size;
  const std::int64_t layer = attention + 3 * c.hidden_size * c.intermediate_size + 2 * c.hidden_size;
  const std::int64_t embeddings = c.vocab_size * c.hidden_size * (c.tie_word_embeddings ? 1 : 2);
  return embeddings + c.num_hidden_layers * layer + c.hidden_size;
}

}  // namespace

ModelConfig load_config(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "config.json";
  return parse_config(read_text_file(path), path.string());
}

ModelConfig parse_config(std::string_view json, std::string_view where) {
  const nlohmann::json object = parse_json_object(json, where);
  const JsonFields fields(object, std::string(where));
  ModelConfig config;
  check_identity(fields, config);
  read_sizes(fields, config);
  read_scalars(fields, config);
  read_layers(fields, config);
  config.rope = read_rope_parameters(fields, config);
  return config;
}

DerivedArchitecture derive(const ModelConfig& config) {
  DerivedArchitecture derived;
  derived.query_dim = config.num_attention_heads * config.head_dim;
  derived.key_value_dim = config.num_key_value_heads * config.head_dim;
  derived.heads_per_kv_head = config.num_attention_heads / config.num_key_value_heads;
  derived.attention_scale = std::pow(static_cast<double>(config.head_dim), -0.5);
  derived.rotary_pairs = config.head_dim / 2;
  derived.parameter_count = parameter_count(config, derived);
  return derived;
}

}  // namespace plumbline::native
