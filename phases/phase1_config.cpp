// Phase 1: does each side read the checkpoint's description as it is meant? Fields with their defaults, the
// weight inventory, and what follows from them: reference, native and Hugging Face's own reading must agree
// exactly.
#include <catch2/catch.hpp>

#include "harness/explain.h"
#include "impl/config.h"
#include "impl/weights.h"
#include "phases/support/config_text.h"
#include "phases/support/goldens.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/config.h"
#include "reference/weights.h"

namespace plumbline::phases {

void prepare() {
  load_sides(LoadTokenizers::when_asked_for);
}

namespace {

// Both sides' readings of one thing, and the golden one where there is any.
void record_three_ways(const std::string& subject, const Fields& native, const Fields& reference,
                       const Fields& golden) {
  record_equal("number of fields", subject, std::to_string(reference.size()), std::to_string(native.size()));
  for (const auto& [name, expected] : reference)
    record_equal(name, subject, expected, value_of(native, name));
  for (const auto& [name, expected] : golden) {
    record_equal(name + " (reference, golden)", subject, expected, value_of(reference, name));
    record_equal(name + " (native, golden)", subject, expected, value_of(native, name));
  }
}

// Configs with goldens but no weights: other shapes, both dialects, defaults.
struct GoldenConfig {
  std::string name;
  std::string text;
  nlohmann::json golden;
};
std::vector<GoldenConfig> golden_configs() {
  std::vector<GoldenConfig> configs;
  const nlohmann::json file = read_json(options().fixtures / "goldens" / "configs.json");
  for (const nlohmann::json& entry : file.at("configs")) {
    const std::filesystem::path path = entry.at("config").get<std::string>();
    configs.push_back(
        {path.stem().string(), read_json(options().fixtures / "configs" / path.filename()).dump(), entry});
  }
  return configs;
}

}  // namespace

TEST_CASE("1.1 fields and defaults: config.json, field by field", "[1.1]") {
  record_three_ways("config.json", fields_of(native::load_config(options().model)),
                    fields_of(reference::load_config(options().model)),
                    goldens() ? golden_fields(goldens()->config.at("resolved")) : Fields{});
}

TEST_CASE("1.1 fields and defaults: generation_config.json", "[1.1]") {
  const ModelConfig native_config = native::load_config(options().model);
  const ModelConfig reference_config = reference::load_config(options().model);
  record_three_ways(
      "generation_config.json", fields_of(native::load_generation_config(options().model, native_config)),
      fields_of(reference::load_generation_config(options().model, reference_config)),
      goldens() ? golden_generation_fields(goldens()->config.at("generation_config").at("effective"))
                : Fields{});
}

TEST_CASE("1.1 fields and defaults: both dialects, other shapes, fields left out", "[1.1]") {
  for (const GoldenConfig& config : golden_configs()) {
    record_three_ways(config.name, fields_of(native::parse_config(config.text, config.name)),
                      fields_of(reference::parse_config(config.text, config.name)),
                      golden_fields(config.golden.at("resolved")));
  }
}

TEST_CASE("1.2 weight inventory: what the config asks for is what the files hold", "[1.2]") {
  const Fields golden = goldens() ? golden_inventory(goldens()->config.at("inventory")) : Fields{};
  const Fields native_expected = fields_of(native::expected_weights(native::load_config(options().model)));
  const Fields reference_expected =
      fields_of(reference::expected_weights(reference::load_config(options().model)));
  record_three_ways("expected from the config", native_expected, reference_expected, {});
  // The config names one dtype; the files may mix them.
  for (const auto& [name, text] : golden) {
    for (const auto& [side, expected] :
         {std::pair{" (native, golden)", value_of(native_expected, name)},
          std::pair{" (reference, golden)", value_of(reference_expected, name)}}) {
      record_equal(name + side, "expected from the config", shape_part(text), shape_part(expected));
      record_equal(name + side, "tied by the config", is_tied(text) ? "yes" : "no",
                   is_tied(expected) ? "yes" : "no");
    }
  }

  const Fields native_stored = fields_of(native::stored_weights(options().model));
  Fields golden_stored;
  for (const auto& field : golden) {
    if (!is_tied(field.second)) golden_stored.push_back(field);
  }
  record_three_ways("stored", native_stored, fields_of(reference::stored_weights(options().model)),
                    golden_stored);
  for (const auto& [name, expected] : native_expected) {
    if (!is_tied(expected)) {
      record_equal(name, "stored as the config asks", shape_part(expected),
                   shape_part(value_of(native_stored, name)));
    }
  }
  for (const auto& [name, stored] : native_stored) {
    record_equal(name, "asked for by the config", shape_part(stored),
                 shape_part(value_of(native_expected, name)));
  }
}

TEST_CASE("1.2 weight inventory: parameters counted to the unit", "[1.2]") {
  const auto count = [](std::int64_t value) { return std::to_string(value); };
  if (goldens()) {
    const std::string golden = count(goldens()->config.at("parameter_count").get<std::int64_t>());
    record_equal("parameter count (native)", "checkpoint", golden,
                 count(native::derive(native::load_config(options().model)).parameter_count));
    record_equal("parameter count (reference)", "checkpoint", golden,
                 count(reference::derive(reference::load_config(options().model)).parameter_count));
  }
  for (const GoldenConfig& config : golden_configs()) {
    const std::string golden = count(config.golden.at("parameter_count").get<std::int64_t>());
    record_equal("parameter count (native)", config.name, golden,
                 count(native::derive(native::parse_config(config.text, config.name)).parameter_count));
    record_equal("parameter count (reference)", config.name, golden,
                 count(reference::derive(reference::parse_config(config.text, config.name)).parameter_count));
  }
}

TEST_CASE("1.3 derived architecture: head sizes, groups, scale", "[1.3]") {
  record_three_ways("checkpoint", fields_of(native::derive(native::load_config(options().model))),
                    fields_of(reference::derive(reference::load_config(options().model))),
                    goldens() ? golden_derived_fields(goldens()->config.at("derived")) : Fields{});
  for (const GoldenConfig& config : golden_configs()) {
    record_three_ways(config.name, fields_of(native::derive(native::parse_config(config.text, config.name))),
                      fields_of(reference::derive(reference::parse_config(config.text, config.name))),
                      golden_derived_fields(config.golden.at("derived")));
  }
}

TEST_CASE("1.3 derived architecture: rotary frequencies follow from the config", "[1.3]") {
  const OpSite table{Probe::inv_freq, -1};
  const Trace trace =
      record_prefill(subject(), prompts_of("3.1").back().ids, ProbeFilter({site_name(table)}));
  record(to_check(judge_op(table, TraceStepView(trace, 0), replayer(), tolerances(), trace.metadata.storage,
                           trace.metadata.device),
                  "subject's table"));
}

}  // namespace plumbline::phases
