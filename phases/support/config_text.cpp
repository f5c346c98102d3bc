#include "phases/support/config_text.h"

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::phases {
namespace {

constexpr const char* kNone = "(none)";

std::string text(std::int64_t value) {
  return fmt::format("{}", value);
}
std::string text(double value) {
  return fmt::format("{}", value);
}
std::string text(bool value) {
  return value ? "true" : "false";
}
std::string text(const std::optional<std::int64_t>& value) {
  return value ? text(*value) : kNone;
}
std::string text(const std::vector<std::int64_t>& values) {
  return fmt::format("[{}]", fmt::join(values, ", "));
}
std::string text(const std::vector<LayerType>& types) {
  std::string joined;
  for (const LayerType type : types) joined += type == LayerType::full_attention ? "F" : "S";
  return joined;
}

// JSON's own values in the words above.
std::string whole(const nlohmann::json& value) {
  return value.is_null() ? kNone : text(value.get<std::int64_t>());
}
std::string real(const nlohmann::json& value) {
  return text(value.get<double>());
}
std::string ids(const nlohmann::json& value) {
  if (value.is_null()) return text(std::vector<std::int64_t>{});
  if (value.is_number()) return text(std::vector<std::int64_t>{value.get<std::int64_t>()});
  return text(value.get<std::vector<std::int64_t>>());
}

}  // namespace

std::string value_of(const Fields& fields, const std::string& name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return kNone;
}

Fields fields_of(const ModelConfig& c) {
  return {
      {"model_type", c.model_type},
      {"architecture", c.architecture},
      {"vocab_size", text(c.vocab_size)},
      {"hidden_size", text(c.hidden_size)},
      {"intermediate_size", text(c.intermediate_size)},
      {"num_hidden_layers", text(c.num_hidden_layers)},
      {"num_attention_heads", text(c.num_attention_heads)},
      {"num_key_value_heads", text(c.num_key_value_heads)},
      {"head_dim", text(c.head_dim)},
      {"max_position_embeddings", text(c.max_position_embeddings)},
      {"hidden_act", c.hidden_act},
      {"rms_norm_eps", text(c.rms_norm_eps)},
      {"attention_dropout", text(c.attention_dropout)},
      {"initializer_range", text(c.initializer_range)},
      {"tie_word_embeddings", text(c.tie_word_embeddings)},
      {"use_cache", text(c.use_cache)},
      {"use_sliding_window", text(c.use_sliding_window)},
      {"sliding_window", text(c.sliding_window)},
      {"max_window_layers", text(c.max_window_layers)},
      {"layer_types", text(c.layer_types)},
      {"rope type", c.rope.type},
      {"rope_theta", text(c.rope.theta)},
      {"rope factor", text(c.rope.factor)},
      {"rope beta_fast", text(c.rope.beta_fast)},
      {"rope beta_slow", text(c.rope.beta_slow)},
      {"rope original_max_position_embeddings", text(c.rope.original_max_position_embeddings)},
      {"rope attention_factor", text(c.rope.attention_factor)},
      {"dtype", c.dtype},
      {"bos_token_id", text(c.bos_token_id)},
      {"pad_token_id", text(c.pad_token_id)},
      {"eos_token_id", text(c.eos_token_ids)},
  };
}

Fields fields_of(const DerivedArchitecture& d) {
  return {
      {"query_dim", text(d.query_dim)},
      {"key_value_dim", text(d.key_value_dim)},
      {"heads_per_kv_head", text(d.heads_per_kv_head)},
      {"attention_scale", text(d.attention_scale)},
      {"rotary_pairs", text(d.rotary_pairs)},
      {"parameter_count", text(d.parameter_count)},
  };
}

Fields fields_of(const GenerationDefaults& g) {
  return {
      {"do_sample", text(g.do_sample)},
      {"temperature", text(g.temperature)},
      {"top_k", text(g.top_k)},
      {"top_p", text(g.top_p)},
      {"min_p", text(g.min_p)},
      {"repetition_penalty", text(g.repetition_penalty)},
      {"bos_token_id", text(g.bos_token_id)},
      {"pad_token_id", text(g.pad_token_id)},
      {"eos_token_id", text(g.eos_token_ids)},
      {"max_new_tokens", text(g.max_new_tokens)},
      {"max_length", text(g.max_length)},
  };
}

Fields fields_of(const std::vector<WeightEntry>& weights) {
  Fields fields;
  for (const WeightEntry& weight : weights) {
    fields.emplace_back(weight.name, fmt::format("{} {}{}", weight.shape.to_string(),
                                                 dtype_name(weight.dtype), weight.tied ? " tied" : ""));
  }
  return fields;
}

std::string shape_part(const std::string& inventory_text) {
  const std::size_t end = inventory_text.find(']');
  return end == std::string::npos ? inventory_text : inventory_text.substr(0, end + 1);
}

bool is_tied(const std::string& inventory_text) {
  return inventory_text.ends_with(" tied");
}

Fields golden_fields(const nlohmann::json& r) {
  std::vector<LayerType> layers;
  for (const nlohmann::json& type : r.at("layer_types")) {
    layers.push_back(type == "full_attention" ? LayerType::full_attention : LayerType::sliding_attention);
  }
  const nlohmann::json& rope = r.at("rope_parameters");
  return {
      {"model_type", r.at("model_type")},
      {"vocab_size", whole(r.at("vocab_size"))},
      {"hidden_size", whole(r.at("hidden_size"))},
      {"intermediate_size", whole(r.at("intermediate_size"))},
      {"num_hidden_layers", whole(r.at("num_hidden_layers"))},
      {"num_attention_heads", whole(r.at("num_attention_heads"))},
      {"num_key_value_heads", whole(r.at("num_key_value_heads"))},
      {"max_position_embeddings", whole(r.at("max_position_embeddings"))},
      {"hidden_act", r.at("hidden_act")},
      {"rms_norm_eps", real(r.at("rms_norm_eps"))},
      {"attention_dropout", real(r.at("attention_dropout"))},
      {"initializer_range", real(r.at("initializer_range"))},
      {"tie_word_embeddings", text(r.at("tie_word_embeddings").get<bool>())},
      {"use_cache", text(r.at("use_cache").get<bool>())},
      {"use_sliding_window", text(r.at("use_sliding_window").get<bool>())},
      {"sliding_window", whole(r.at("sliding_window"))},
      {"max_window_layers", whole(r.at("max_window_layers"))},
      {"layer_types", text(layers)},
      {"rope type", rope.at("rope_type")},
      {"rope_theta", real(rope.at("rope_theta"))},
      {"bos_token_id", whole(r.at("bos_token_id"))},
      {"pad_token_id", whole(r.at("pad_token_id"))},
      {"eos_token_id", ids(r.at("eos_token_id"))},
  };
}

Fields golden_derived_fields(const nlohmann::json& d) {
  return {
      {"query_dim", whole(d.at("q_dim"))},
      {"key_value_dim", whole(d.at("kv_dim"))},
      {"heads_per_kv_head", whole(d.at("heads_per_kv_head"))},
      {"attention_scale", real(d.at("scaling"))},
      {"rotary_pairs", text(static_cast<std::int64_t>(d.at("inv_freq").size()))},
  };
}

Fields golden_generation_fields(const nlohmann::json& e) {
  return {
      {"do_sample", text(e.at("do_sample").get<bool>())},
      {"temperature", real(e.at("temperature"))},
      {"top_k", whole(e.at("top_k"))},
      {"top_p", real(e.at("top_p"))},
      {"repetition_penalty", real(e.at("repetition_penalty"))},
      {"bos_token_id", whole(e.at("bos_token_id"))},
      {"pad_token_id", whole(e.at("pad_token_id"))},
      {"eos_token_id", ids(e.at("eos_token_id"))},
  };
}

Fields golden_inventory(const nlohmann::json& inventory) {
  Fields fields;
  for (const nlohmann::json& entry : inventory) {
    const std::string dtype = entry.at("dtype");
    const std::string name = dtype == "float32"    ? "f32"
                             : dtype == "bfloat16" ? "bf16"
                             : dtype == "float16"  ? "f16"
                                                   : dtype;
    const auto shape = entry.at("shape").get<std::vector<std::int64_t>>();
    fields.emplace_back(entry.at("name"), fmt::format("{} {}{}", text(shape), name,
                                                      entry.at("stored").get<bool>() ? "" : " tied"));
  }
  return fields;
}

}  // namespace plumbline::phases
