#include "reference/weights.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include "reference/config.h"
#include "reference/engine.h"
#include "reference/replay.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;

namespace {

// A file of this header text (with its true length unless `claimed` says otherwise) and data.
std::string file_of(const std::string& header, std::size_t data, std::int64_t claimed = -1) {
  const std::uint64_t length = claimed >= 0 ? static_cast<std::uint64_t>(claimed) : header.size();
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(length >> (8 * i) & 0xFF);
  return bytes + header + std::string(data, '\0');
}

std::string refusal(const std::string& bytes) {
  TemporaryDirectory directory;
  test::write_text(directory / "model.safetensors", bytes);
  const std::string message = error_of([&] { reference::stored_weights(directory.path()); });
  CHECK_THAT(message, Contains("model.safetensors") && !Contains("\n"));
  return message;
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets;
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"a\":{" + entry(dtype, shape, offsets) + "}}";
}

}  // namespace

TEST_CASE("weights: the tiny checkpoint holds what its config asks for", "[reference][weights]") {
  const auto expected = reference::expected_weights(reference::load_config(test::tiny_model()));
  auto stored = reference::stored_weights(test::tiny_model());
  CHECK(std::is_sorted(expected.begin(), expected.end(), [](auto& a, auto& b) { return a.name < b.name; }));
  std::vector<WeightEntry> untied;
  for (const WeightEntry& weight : expected) {
    if (!weight.tied) untied.push_back(weight);
  }
  CHECK(stored == untied);
  const nlohmann::json golden = test::read_json(test::fixture("goldens/tiny/config.json"));
  CHECK(expected.size() == golden.at("inventory").size());
  for (const nlohmann::json& item : golden.at("inventory")) {
    const auto found = std::find_if(expected.begin(), expected.end(), [&](const WeightEntry& weight) {
      return weight.name == item.at("name");
    });
    REQUIRE(found != expected.end());
    CHECK(found->shape == Shape(item.at("shape").get<std::vector<std::int64_t>>()));
    CHECK(found->tied == !item.at("stored").get<bool>());
  }
}

TEST_CASE("weights: a broken file is refused, whatever it claims", "[reference][weights]") {
  CHECK_THAT(refusal(""), Contains("shorter than"));
  CHECK_THAT(refusal("abc"), Contains("shorter than"));
  CHECK_THAT(refusal(file_of("{}", 0, 1LL << 40)), Contains("exceeds the file"));
  CHECK_THAT(refusal(file_of("{}", 0, 3)), Contains("exceeds the file"));
  CHECK_THAT(refusal(file_of("{\"a\":", 0)), Contains("not valid JSON"));
  CHECK_THAT(refusal(file_of("[]", 0)), Contains("not a JSON object"));
  CHECK_THAT(refusal(file_of("{\"a\":1}", 0)), Contains("a: its header entry is no object"));
  CHECK_THAT(refusal(file_of(one("I3", "[1]", "[0,4]"), 4)), Contains("dtype is \"I3\""));
  CHECK_THAT(refusal(file_of(one("F32", "[-1]", "[0,4]"), 4)), Contains("shape"));
  CHECK_THAT(refusal(file_of(one("F32", "[1,1,1,1,1]", "[0,4]"), 4)), Contains("at most four"));
  CHECK_THAT(refusal(file_of(one("F32", "[4294967296,4294967296]", "[0,4]"), 4)),
             Contains("too many elements"));
  CHECK_THAT(refusal(file_of(one("F32", "[2]", "[0,4]"), 4)),
             Contains("4 bytes do not make shape [2] of F32"));
  CHECK_THAT(refusal(file_of(one("F32", "[2]", "[0,8]"), 4)), Contains("leave the file"));
  CHECK_THAT(refusal(file_of(one("F32", "[2]", "[8,0]"), 8)), Contains("leave the file"));
  CHECK_THAT(refusal(file_of(one("F32", "[2]", "[0,-8]"), 8)), Contains("no pair"));
  CHECK_THAT(refusal(file_of(one("F32", "[2]", "[0]"), 8)), Contains("no pair"));
  const std::string overlap =
      "{\"a\":{" + entry("F32", "[2]", "[0,8]") + "},\"b\":{" + entry("F32", "[2]", "[4,12]") + "}}";
  CHECK_THAT(refusal(file_of(overlap, 12)), Contains("overlap"));
}

TEST_CASE("weights: missing tensors and wrong shapes are named", "[reference][weights]") {
  TemporaryDirectory directory;
  test::write_random_checkpoint(directory.path(), test::small_config(), 3);
  auto tensors = test::read_tensors(directory / "model.safetensors");
  const auto refused = [&] {
    test::write_tensors(directory / "model.safetensors", tensors);
    return error_of([&] { reference::make_engine(directory.path(), {}); });
  };
  CHECK(refused().empty());
  auto held = tensors.extract("model.layers.1.mlp.up_proj.weight");
  CHECK_THAT(refused(), Contains("lacks model.layers.1.mlp.up_proj.weight"));
  tensors.insert(std::move(held));
  tensors["model.norm.weight"] = Tensor(DType::f32, {23});
  CHECK_THAT(refused(), Contains("model.norm.weight: has shape [23], the config asks for [24]"));
  tensors["model.norm.weight"] = Tensor(DType::i64, {24});
  CHECK_THAT(refused(), Contains("not floating"));
}

TEST_CASE("weights: shards are read through their index", "[reference][weights]") {
  TemporaryDirectory whole;
  TemporaryDirectory sharded;
  test::write_random_checkpoint(whole.path(), test::small_config(), 3);
  std::filesystem::copy(whole / "config.json", sharded / "config.json");
  std::map<std::string, std::map<std::string, Tensor>> files;
  nlohmann::json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", nlohmann::json::object()}};
  std::size_t count = 0;
  for (const auto& [name, tensor] : test::read_tensors(whole / "model.safetensors")) {
    const std::string file = count++ % 2 == 0 ? "model-1.safetensors" : "model-2.safetensors";
    files[file].emplace(name, tensor);
    index["weight_map"][name] = file;
  }
  for (const auto& [file, tensors] : files) test::write_tensors(sharded / file, tensors);
  const auto write_index = [&] { test::write_text(sharded / "model.safetensors.index.json", index.dump()); };
  write_index();
  CHECK(reference::stored_weights(sharded.path()) == reference::stored_weights(whole.path()));
  const auto hash = [](const auto& directory) {
    return reference::make_replayer(directory.path(), DType::f32)->weight_hash();
  };
  CHECK(hash(sharded) == hash(whole));
  CHECK(hash(whole).size() == 64);

  const auto refused = [&] {
    write_index();
    return error_of([&] { reference::stored_weights(sharded.path()); });
  };
  index["weight_map"]["lm_head.weight"] = "../model-1.safetensors";
  CHECK_THAT(refused(), Contains("../model-1.safetensors"));
  index["weight_map"]["lm_head.weight"] = "model-3.safetensors";
  CHECK_THAT(refused(), Contains("model-3.safetensors: cannot be read"));
  index["weight_map"]["lm_head.weight"] =
      files["model-1.safetensors"].contains("lm_head.weight") ? "model-2.safetensors" : "model-1.safetensors";
  CHECK_THAT(refused(), Contains("lacks lm_head.weight"));
  index["weight_map"] = 3;
  CHECK_THAT(refused(), Contains("no weight_map"));
  TemporaryDirectory empty;
  CHECK_THAT(error_of([&] { reference::stored_weights(empty.path()); }), Contains("has no weights"));
}

TEST_CASE("weights: half types are widened exactly, and rounded once to the subject's storage",
          "[reference][weights]") {
  TemporaryDirectory directory;
  test::write_random_checkpoint(directory.path(), test::small_config(), 3);
  auto tensors = test::read_tensors(directory / "model.safetensors");
  const std::vector<std::uint16_t> halves(24, 0x3F81);  // bf16 1.0078125
  tensors["model.norm.weight"] = Tensor::from<std::uint16_t>(DType::bf16, {24}, halves);
  const std::vector<float> fine(24, 1.001f);
  tensors["model.layers.0.input_layernorm.weight"] = Tensor::from<float>(DType::f32, {24}, fine);
  test::write_tensors(directory / "model.safetensors", tensors);

  // A norm of a constant row is its weight, but for eps.
  const auto norm = [&](DType storage, OpSite input, OpSite site) {
    const auto replayer = reference::make_replayer(directory.path(), storage);
    test::HandMadeStep step(1, 0);
    const std::vector<float> row(24, 1e4f);
    step.set(input, Tensor::from<float>(DType::f32, {1, 24}, row));
    std::string why;
    return replayer->replay(site, step, storage, why).value().expected.values<double>()[0];
  };
  CHECK(norm(DType::f32, {Probe::mlp_residual, 2}, {Probe::norm, -1}) == Approx(1.0078125).epsilon(1e-12));
  const OpSite embedded{Probe::embed_tokens, -1};
  CHECK(norm(DType::f32, embedded, {Probe::input_layernorm, 0}) == Approx(double{1.001f}).epsilon(1e-12));
  CHECK(norm(DType::bf16, embedded, {Probe::input_layernorm, 0}) == Approx(1.0).epsilon(1e-12));
}
