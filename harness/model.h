// What both sides say about a checkpoint, as plain data. Each side fills it with a parser of its own: nothing
// here has a default value from Qwen2, and the harness reads no config file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/dtype.h"
#include "harness/tensor.h"

namespace plumbline {

using TokenId = std::int32_t;

enum class LayerType : std::uint8_t { full_attention, sliding_attention };

// rope type "default" uses theta alone; "yarn" uses the rest too.
struct RopeParameters {
  std::string type;
  double theta = 0;
  double factor = 1;
  double beta_fast = 0;
  double beta_slow = 0;
  std::int64_t original_max_position_embeddings = 0;
  double attention_factor = 1;  // multiplies cos and sin
  bool operator==(const RopeParameters&) const = default;
};

// Every field of config.json that Qwen2 uses, with defaults resolved.
struct ModelConfig {
  std::string model_type;
  std::string architecture;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 0;
  std::string hidden_act;
  double rms_norm_eps = 0;
  double attention_dropout = 0;
  double initializer_range = 0;
  bool tie_word_embeddings = false;
  bool use_cache = false;
  bool use_sliding_window = false;
  std::optional<std::int64_t> sliding_window;  // null unless use_sliding_window
  std::int64_t max_window_layers = 0;
  std::vector<LayerType> layer_types;  // one per layer
  RopeParameters rope;
  std::string dtype;  // as the file names it ("float32", "bfloat16"); empty where it does not
  std::optional<std::int64_t> bos_token_id;
  std::optional<std::int64_t> pad_token_id;
  std::vector<std::int64_t> eos_token_ids;
  bool operator==(const ModelConfig&) const = default;
};

// What follows from a config.
struct DerivedArchitecture {
  std::int64_t query_dim = 0;          // heads * head_dim
  std::int64_t key_value_dim = 0;      // kv_heads * head_dim
  std::int64_t heads_per_kv_head = 0;  // grouped queries: query head h reads kv head h / this
  double attention_scale = 0;          // head_dim^-0.5
  std::int64_t rotary_pairs = 0;       // head_dim / 2
  std::int64_t parameter_count = 0;    // a tied head counted once
  bool operator==(const DerivedArchitecture&) const = default;
};

// One tensor of a checkpoint.
struct WeightEntry {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  bool tied = false;  // shares another tensor's storage (lm_head with embed_tokens)
  bool operator==(const WeightEntry&) const = default;
};

// generation_config.json with defaults resolved; what generate() starts from.
struct GenerationDefaults {
  bool do_sample = false;
  double temperature = 1.0;
  std::int64_t top_k = 0;  // 0: off
  double top_p = 1.0;
  double min_p = 0.0;  // 0: off
  double repetition_penalty = 1.0;
  std::optional<std::int64_t> bos_token_id;
  std::optional<std::int64_t> pad_token_id;
  std::vector<std::int64_t> eos_token_ids;
  std::optional<std::int64_t> max_new_tokens;
  std::optional<std::int64_t> max_length;
  bool operator==(const GenerationDefaults&) const = default;
};

}  // namespace plumbline
