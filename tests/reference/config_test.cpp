#include "reference/config.h"

#include <catch2/catch.hpp>

#include "reference/weights.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;
using test::small_config;

namespace {

ModelConfig parse(const nlohmann::json& json) {
  return reference::parse_config(json.dump(), "config.json");
}

std::string refusal(const std::string& key, const nlohmann::json& value) {
  nlohmann::json json = small_config();
  json[key] = value;
  const std::string message = error_of([&] { parse(json); });
  CHECK_THAT(message, Contains("config.json") && !Contains("\n"));
  return message;
}

template <typename T>
nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

void compare_resolved(const ModelConfig& config, const nlohmann::json& golden) {
  const nlohmann::json& r = golden.at("resolved");
  CHECK(config.vocab_size == r.at("vocab_size"));
  CHECK(config.hidden_size == r.at("hidden_size"));
  CHECK(config.intermediate_size == r.at("intermediate_size"));
  CHECK(config.num_hidden_layers == r.at("num_hidden_layers"));
  CHECK(config.num_attention_heads == r.at("num_attention_heads"));
  CHECK(config.num_key_value_heads == r.at("num_key_value_heads"));
  CHECK(config.max_position_embeddings == r.at("max_position_embeddings"));
  CHECK(config.hidden_act == r.at("hidden_act"));
  CHECK(config.rms_norm_eps == r.at("rms_norm_eps"));
  CHECK(config.initializer_range == r.at("initializer_range"));
  CHECK(config.attention_dropout == r.at("attention_dropout"));
  CHECK(config.tie_word_embeddings == r.at("tie_word_embeddings"));
  CHECK(config.use_cache == r.at("use_cache"));
  CHECK(config.use_sliding_window == r.at("use_sliding_window"));
  CHECK(or_null(config.sliding_window) == r.at("sliding_window"));
  CHECK(config.max_window_layers == r.at("max_window_layers"));
  CHECK(or_null(config.bos_token_id) == r.at("bos_token_id"));
  CHECK(or_null(config.pad_token_id) == r.at("pad_token_id"));
  CHECK(config.dtype == (r.at("dtype").is_null() ? "" : r.at("dtype").get<std::string>()));
  CHECK(config.rope.type == r.at("rope_parameters").at("rope_type"));
  CHECK(config.rope.theta == r.at("rope_parameters").at("rope_theta"));
  REQUIRE(config.layer_types.size() == r.at("layer_types").size());
  for (std::size_t i = 0; i < config.layer_types.size(); ++i) {
    const bool slides = config.layer_types[i] == LayerType::sliding_attention;
    CHECK(r.at("layer_types")[i] == (slides ? "sliding_attention" : "full_attention"));
  }
  const DerivedArchitecture derived = reference::derive(config);
  const nlohmann::json& d = golden.at("derived");
  CHECK(config.head_dim == d.at("head_dim"));
  CHECK(derived.query_dim == d.at("q_dim"));
  CHECK(derived.key_value_dim == d.at("kv_dim"));
  CHECK(derived.heads_per_kv_head == d.at("heads_per_kv_head"));
  CHECK(derived.attention_scale == Approx(d.at("scaling").get<double>()).epsilon(1e-15));
  CHECK(derived.parameter_count == golden.at("parameter_count"));
  const auto weights = reference::expected_weights(config);
  const auto tied =
      std::count_if(weights.begin(), weights.end(), [](const WeightEntry& w) { return w.tied; });
  CHECK(static_cast<std::int64_t>(weights.size()) - tied == golden.at("stored_tensors"));
}

}  // namespace

TEST_CASE("config: both dialects resolve as transformers resolves them", "[reference][config]") {
  const nlohmann::json goldens = test::read_json(test::fixture("goldens/configs.json"));
  REQUIRE(goldens.at("configs").size() >= 6);
  for (const nlohmann::json& golden : goldens.at("configs")) {
    const std::string name = golden.at("config");
    INFO(name);
    const auto path = std::filesystem::path(PLUMBLINE_SOURCE_DIR) / name;
    compare_resolved(reference::parse_config(test::read_json(path).dump(), name), golden);
  }
  compare_resolved(reference::load_config(test::tiny_model()),
                   test::read_json(test::fixture("goldens/tiny/config.json")));
}

TEST_CASE("config: published shapes have their published number of parameters", "[reference][config]") {
  const auto count = [](const char* name) {
    return reference::derive(parse(test::read_json(test::fixture(std::string("configs/") + name))))
        .parameter_count;
  };
  CHECK(count("qwen2.5-0.5b.json") == 494032768);
  CHECK(count("qwen2.5-7b.json") == 7615616512);
}

TEST_CASE("config: impossible values and wrong types are refused by name", "[reference][config]") {
  CHECK_THAT(refusal("hidden_size", 0), Contains("hidden_size is 0"));
  CHECK_THAT(refusal("hidden_size", -8), Contains("hidden_size is -8"));
  CHECK_THAT(refusal("hidden_size", 1e3), Contains("hidden_size") && Contains("integer"));
  CHECK_THAT(refusal("hidden_size", "896"), Contains("hidden_size") && Contains("integer"));
  CHECK_THAT(refusal("hidden_size", nullptr), Contains("hidden_size"));
  CHECK_THAT(refusal("num_hidden_layers", 18446744073709551615u), Contains("num_hidden_layers"));
  CHECK_THAT(refusal("vocab_size", 1LL << 40), Contains("vocab_size"));
  CHECK_THAT(refusal("num_key_value_heads", 3), Contains("no multiple of 3"));
  CHECK_THAT(refusal("head_dim", 9), Contains("head_dim is 9: must be even"));
  CHECK_THAT(refusal("rms_norm_eps", 0.0), Contains("rms_norm_eps"));
  CHECK_THAT(refusal("rms_norm_eps", -1e-6), Contains("rms_norm_eps"));
  CHECK_THAT(refusal("rope_theta", -1), Contains("rope_theta"));
  CHECK_THAT(refusal("rope_theta", 0), Contains("rope_theta"));
  CHECK_THAT(refusal("rope_theta", "1e6"), Contains("rope_theta"));
  CHECK_THAT(refusal("tie_word_embeddings", 1), Contains("tie_word_embeddings"));
  CHECK_THAT(refusal("eos_token_id", "x"), Contains("eos_token_id"));
  CHECK_THAT(refusal("eos_token_id", {1, 2.5}), Contains("eos_token_id"));
  CHECK_THAT(refusal("sliding_window", 0), Contains("sliding_window"));
  CHECK_THAT(refusal("layer_types", {"full_attention"}), Contains("layer_types"));
  CHECK_THAT(refusal("layer_types", {"full_attention", "full_attention", "chunked"}),
             Contains("layer_types"));
  CHECK_THAT(refusal("dtype", "int8"), Contains("dtype is \"int8\""));
}

TEST_CASE("config: other models are refused by name", "[reference][config]") {
  CHECK_THAT(refusal("model_type", "llama"), Contains("model_type is \"llama\""));
  CHECK_THAT(refusal("architectures", {"Qwen2MoeForCausalLM"}), Contains("Qwen2MoeForCausalLM"));
  CHECK_THAT(refusal("hidden_act", "gelu"), Contains("hidden_act is \"gelu\""));
  CHECK_THAT(refusal("quantization_config", {{"bits", 4}}), Contains("quantization_config"));
  CHECK_THAT(refusal("rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}), Contains("\"dynamic\""));
  CHECK_THAT(refusal("rope_parameters", {{"rope_type", "yarn"}}), Contains("factor: is missing"));
  CHECK_THAT(refusal("rope_parameters", {{"full_attention", {{"rope_theta", 1e4}}}}),
             Contains("by layer type"));
  CHECK_THAT(refusal("rope_scaling", {{"type", "yarn"}, {"factor", 0.5}}), Contains("factor is 0.5"));
  CHECK_THAT(refusal("partial_rotary_factor", 0.5), Contains("partial_rotary_factor"));
}

TEST_CASE("config: text that is not a JSON object is refused in one line", "[reference][config]") {
  for (const char* text : {"", "[]", "{", "{\"rms_norm_eps\": NaN}", "{\"rms_norm_eps\": 1e999}", "\xff"}) {
    const std::string message = error_of([&] { reference::parse_config(text, "here.json"); });
    INFO(text);
    CHECK_THAT(message, Contains("here.json") && !Contains("\n"));
  }
  CHECK_THAT(error_of([] { reference::load_config(test::fixture("nowhere")); }), Contains("config.json"));
}

TEST_CASE("config: sliding layers need a window", "[reference][config]") {
  nlohmann::json json = small_config();
  json["use_sliding_window"] = false;
  CHECK(parse(json).sliding_window == std::nullopt);
  CHECK(parse(json).layer_types == std::vector<LayerType>(3, LayerType::full_attention));
  json["layer_types"] = {"full_attention", "full_attention", "sliding_attention"};
  CHECK_THAT(error_of([&] { parse(json); }), Contains("there is no window"));
}

TEST_CASE("generation config: defaults are generate()'s own", "[reference][config]") {
  TemporaryDirectory directory;
  ModelConfig config = parse(small_config());
  config.eos_token_ids = {7};
  const GenerationDefaults absent = reference::load_generation_config(directory.path(), config);
  CHECK(absent.eos_token_ids == std::vector<std::int64_t>{7});
  CHECK(absent.top_k == 50);
  CHECK_FALSE(absent.do_sample);

  const nlohmann::json golden = test::read_json(test::fixture("goldens/tiny/config.json"));
  const nlohmann::json& effective = golden.at("generation_config").at("effective");
  const GenerationDefaults tiny = reference::load_generation_config(test::tiny_model(), config);
  CHECK(tiny.eos_token_ids == effective.at("eos_token_id").get<std::vector<std::int64_t>>());
  CHECK(or_null(tiny.bos_token_id) == effective.at("bos_token_id"));
  CHECK(or_null(tiny.pad_token_id) == effective.at("pad_token_id"));
  CHECK(tiny.top_k == effective.at("top_k"));
  CHECK(tiny.top_p == effective.at("top_p"));
  CHECK(tiny.temperature == effective.at("temperature"));
  CHECK(tiny.repetition_penalty == effective.at("repetition_penalty"));

  test::write_text(
      directory / "generation_config.json",
      R"({"do_sample": true, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.1, "eos_token_id": 5})");
  const GenerationDefaults given = reference::load_generation_config(directory.path(), config);
  CHECK(given.do_sample);
  CHECK(given.top_k == 20);
  CHECK(given.repetition_penalty == 1.1);
  CHECK(given.eos_token_ids == std::vector<std::int64_t>{5});
  test::write_text(directory / "generation_config.json", R"({"top_p": 1.5})");
  CHECK_THAT(error_of([&] { reference::load_generation_config(directory.path(), config); }),
             Contains("top_p is 1.5"));
}
