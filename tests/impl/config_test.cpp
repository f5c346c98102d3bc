#include "impl/config.h"

#include <cmath>

#include <catch2/catch.hpp>

#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

ModelConfig parse(const std::string& text) {
  return parse_config(text, "test");
}

std::string error_with(const std::string& field, const std::string& value) {
  return error_of([&] { parse("{\"" + field + "\": " + value + "}"); });
}

template <typename T>
void check_optional(const std::optional<T>& actual, const nlohmann::json& expected) {
  CHECK(actual.has_value() == !expected.is_null());
  if (actual && !expected.is_null()) CHECK(*actual == expected.get<T>());
}

void check_resolved(const ModelConfig& c, const nlohmann::json& golden) {
  const nlohmann::json& g = golden.at("resolved");
  const std::string architecture =
      g.at("architectures").is_null() ? "" : g.at("architectures")[0].get<std::string>();
  CHECK(c.architecture == architecture);
  CHECK(c.model_type == g.at("model_type").get<std::string>());
  CHECK(c.vocab_size == g.at("vocab_size").get<std::int64_t>());
  CHECK(c.hidden_size == g.at("hidden_size").get<std::int64_t>());
  CHECK(c.intermediate_size == g.at("intermediate_size").get<std::int64_t>());
  CHECK(c.num_hidden_layers == g.at("num_hidden_layers").get<std::int64_t>());
  CHECK(c.num_attention_heads == g.at("num_attention_heads").get<std::int64_t>());
  CHECK(c.num_key_value_heads == g.at("num_key_value_heads").get<std::int64_t>());
  CHECK(c.hidden_act == g.at("hidden_act").get<std::string>());
  CHECK(c.max_position_embeddings == g.at("max_position_embeddings").get<std::int64_t>());
  CHECK(c.initializer_range == g.at("initializer_range").get<double>());
  CHECK(c.rms_norm_eps == g.at("rms_norm_eps").get<double>());
  CHECK(c.use_cache == g.at("use_cache").get<bool>());
  CHECK(c.tie_word_embeddings == g.at("tie_word_embeddings").get<bool>());
  CHECK(c.use_sliding_window == g.at("use_sliding_window").get<bool>());
  check_optional(c.sliding_window, g.at("sliding_window"));
  CHECK(c.max_window_layers == g.at("max_window_layers").get<std::int64_t>());
  check_optional(c.bos_token_id, g.at("bos_token_id"));
  check_optional(c.pad_token_id, g.at("pad_token_id"));
  CHECK(c.dtype == (g.at("dtype").is_null() ? "" : g.at("dtype").get<std::string>()));
  REQUIRE(c.layer_types.size() == g.at("layer_types").size());
  for (std::size_t i = 0; i < c.layer_types.size(); ++i) {
    const bool slides = g.at("layer_types")[i] == std::string("sliding_attention");
    CHECK((c.layer_types[i] == LayerType::sliding_attention) == slides);
  }
  std::vector<std::int64_t> eos;
  if (g.at("eos_token_id").is_array()) eos = g.at("eos_token_id").get<std::vector<std::int64_t>>();
  if (g.at("eos_token_id").is_number()) eos = {g.at("eos_token_id").get<std::int64_t>()};
  CHECK(c.eos_token_ids == eos);
}

void check_derived(const ModelConfig& c, const nlohmann::json& golden) {
  const nlohmann::json& g = golden.at("derived");
  const DerivedArchitecture d = derive(c);
  CHECK(c.head_dim == g.at("head_dim").get<std::int64_t>());
  CHECK(d.heads_per_kv_head == g.at("heads_per_kv_head").get<std::int64_t>());
  CHECK(d.query_dim == g.at("q_dim").get<std::int64_t>());
  CHECK(d.key_value_dim == g.at("kv_dim").get<std::int64_t>());
  CHECK(d.attention_scale == g.at("scaling").get<double>());
  CHECK(c.rope.type == g.at("rope_type").get<std::string>());
  CHECK(c.rope.theta == g.at("rope_theta").get<double>());
  CHECK(c.rope.attention_factor == g.at("attention_scaling").get<double>());
  CHECK(d.parameter_count == golden.at("parameter_count").get<std::int64_t>());
}

}  // namespace

TEST_CASE("config: every golden config resolves as transformers resolves it, in both dialects") {
  const nlohmann::json goldens = read_json(source_path("fixtures/goldens/configs.json"));
  for (const auto& golden : goldens.at("configs")) {
    const std::string path = golden.at("config");
    INFO(path);
    const ModelConfig config = parse(read_json(source_path(path)).dump());
    check_resolved(config, golden);
    check_derived(config, golden);
  }
  const nlohmann::json tiny = read_json(source_path("fixtures/goldens/tiny/config.json"));
  check_resolved(load_config(tiny_model()), tiny);
  check_derived(load_config(tiny_model()), tiny);
}

TEST_CASE("config: an empty object gives Qwen2Config's defaults") {
  const ModelConfig c = parse("{}");
  CHECK(c.vocab_size == 151936);
  CHECK(c.hidden_size == 4096);
  CHECK(c.intermediate_size == 22016);
  CHECK(c.num_hidden_layers == 32);
  CHECK(c.num_key_value_heads == 32);
  CHECK(c.head_dim == 128);
  CHECK(c.rope == RopeParameters{"default", 10000.0});
  CHECK(c.eos_token_ids.empty());
}

TEST_CASE("config: a null num_key_value_heads means as many as query heads") {
  CHECK(parse(R"({"num_attention_heads": 16, "num_key_value_heads": null})").num_key_value_heads == 16);
}

TEST_CASE("config: YaRN's defaults and overrides") {
  const RopeParameters rope = parse(R"({"rope_parameters": {"rope_type": "yarn", "factor": 4.0,
      "original_max_position_embeddings": 8192, "rope_theta": 1e6}})")
                                  .rope;
  CHECK(rope.beta_fast == 32);
  CHECK(rope.beta_slow == 1);
  CHECK(rope.original_max_position_embeddings == 8192);
  CHECK(rope.attention_factor == 0.1 * std::log(4.0) + 1);
  CHECK(parse(R"({"rope_scaling": {"type": "yarn", "attention_factor": 1.5}})").rope.attention_factor == 1.5);
}

TEST_CASE("config: wrong types and impossible values are refused in one line that names the field") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"vocab_size", "0"},
      {"vocab_size", "\"151936\""},
      {"hidden_size", "-64"},
      {"hidden_size", "64.5"},
      {"num_hidden_layers", "0"},
      {"num_hidden_layers", "99999999999"},
      {"intermediate_size", "true"},
      {"max_position_embeddings", "18446744073709551615"},
      {"rms_norm_eps", "0"},
      {"rms_norm_eps", "-1e-6"},
      {"rms_norm_eps", "\"1e-6\""},
      {"rope_theta", "0"},
      {"head_dim", "0"},
      {"head_dim", "65"},
      {"tie_word_embeddings", "1"},
      {"hidden_act", "\"gelu\""},
      {"model_type", "\"llama\""},
      {"architectures", "[\"LlamaForCausalLM\"]"},
      {"architectures", "[]"},
      {"layer_types", "[\"full_attention\"]"},
      {"eos_token_id", "\"x\""},
      {"eos_token_id", "[1, \"x\"]"},
      {"max_window_layers", "-1"},
      {"sliding_window", "0"},
  };
  for (const auto& [field, value] : cases) {
    INFO(field << " = " << value);
    const std::string error = error_with(field, value);
    CHECK_THAT(error, Catch::Contains(field) && Catch::StartsWith("test: "));
    CHECK(error.find('\n') == std::string::npos);
  }
}

TEST_CASE("config: what is not supported is refused by name") {
  CHECK_THAT(error_with("num_attention_heads", "33"), Catch::Contains("33"));
  CHECK_THAT(error_of([] { parse(R"({"num_attention_heads": 32, "num_key_value_heads": 5})"); }),
             Catch::Contains("not divisible"));
  CHECK_THAT(error_with("rope_scaling", R"({"type": "linear", "factor": 2.0})"), Catch::Contains("linear"));
  CHECK_THAT(error_with("rope_scaling", R"({"type": "yarn", "factor": 0.5})"), Catch::Contains("factor"));
  CHECK_THAT(error_with("rope_parameters", R"({"full_attention": {"rope_theta": 1.0}})"),
             Catch::Contains("by layer type"));
  CHECK_THAT(error_with("partial_rotary_factor", "0.5"), Catch::Contains("partial_rotary_factor"));
  CHECK_THAT(error_of([] { parse(R"({"num_hidden_layers": 1, "layer_types": ["sliding_attention"]})"); }),
             Catch::Contains("without a window"));
}

TEST_CASE("config: what is not JSON, or no object, is refused") {
  CHECK_THAT(error_of([] { parse("{\"vocab_size\": 5"); }), Catch::Contains("not valid JSON"));
  CHECK_THAT(error_of([] { parse("[1]"); }), Catch::Contains("not a JSON object"));
  CHECK_THAT(error_of([] { parse("{\"rms_norm_eps\": NaN}"); }), Catch::Contains("not valid JSON"));
  CHECK_THAT(error_of([] { parse("{\"rope_theta\": 1e999}"); }), Catch::Contains("test"));
  const ScratchDirectory empty;
  CHECK_THAT(error_of([&] { load_config(empty.path()); }), Catch::Contains("config.json"));
}

TEST_CASE("generation config: read from the file, or from the config where there is none") {
  const GenerationDefaults tiny = load_generation_config(tiny_model(), load_config(tiny_model()));
  CHECK(tiny.eos_token_ids == std::vector<std::int64_t>{999, 997});
  CHECK(tiny.pad_token_id == 997);
  CHECK_FALSE(tiny.do_sample);
  CHECK(tiny.temperature == 1.0);
  CHECK(tiny.top_k == 50);

  const ScratchDirectory scratch;
  const ModelConfig config = parse(R"({"eos_token_id": 7, "bos_token_id": 5})");
  const GenerationDefaults absent = load_generation_config(scratch.path(), config);
  CHECK(absent.eos_token_ids == std::vector<std::int64_t>{7});
  CHECK(absent.bos_token_id == 5);
  CHECK(absent.repetition_penalty == 1.0);

  scratch.write("generation_config.json",
                R"({"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8,
      "repetition_penalty": 1.05, "eos_token_id": 9, "max_new_tokens": 2048})");
  const GenerationDefaults full = load_generation_config(scratch.path(), config);
  CHECK(full.do_sample);
  CHECK(full.temperature == 0.7);
  CHECK(full.top_k == 20);
  CHECK(full.top_p == 0.8);
  CHECK(full.repetition_penalty == 1.05);
  CHECK(full.eos_token_ids == std::vector<std::int64_t>{9});
  CHECK(full.max_new_tokens == 2048);
  CHECK_FALSE(full.bos_token_id.has_value());

  scratch.write("generation_config.json", R"({"temperature": "hot"})");
  CHECK_THAT(error_of([&] { load_generation_config(scratch.path(), config); }),
             Catch::Contains("temperature"));
}
