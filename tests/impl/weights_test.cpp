#include "impl/weights.h"

#include <cstring>

#include <catch2/catch.hpp>

#include "impl/config.h"
#include "impl/cpu/engine.h"
#include "impl/json.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr const char* kSmall = R"({"vocab_size": 11, "hidden_size": 8, "intermediate_size": 12,
  "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": true})";

std::string error_for(const std::string& header, const std::string& data) {
  const ScratchDirectory scratch;
  scratch.write("model.safetensors", safetensors_bytes(header, data));
  return error_of([&] { stored_weights(scratch.path()); });
}

// Header and data of a file, to be tampered with.
struct Opened {
  nlohmann::json header;
  std::string data;
};

Opened open_model(const std::filesystem::path& path) {
  const std::string bytes = read_text_file(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  return {nlohmann::json::parse(bytes.substr(8, length)), bytes.substr(8 + length)};
}

std::string engine_error(const ScratchDirectory& scratch, const Opened& model) {
  scratch.write("model.safetensors", safetensors_bytes(model.header.dump(), model.data));
  return error_of([&] { make_cpu_engine(scratch.path(), {.threads = 1}); });
}

}  // namespace

TEST_CASE("weights: the inventory of tiny is transformers' own, stored and expected") {
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tiny/config.json"));
  const auto expected = expected_weights(load_config(tiny_model()));
  const auto stored = stored_weights(tiny_model());
  CHECK(expected.size() == golden.at("inventory").size());
  CHECK(stored.size() == golden.at("stored_tensors").get<std::size_t>());
  for (const auto& entry : golden.at("inventory")) {
    const std::string name = entry.at("name");
    INFO(name);
    const auto same = [&](const WeightEntry& e) { return e.name == name; };
    const auto found = std::find_if(expected.begin(), expected.end(), same);
    REQUIRE(found != expected.end());
    CHECK(found->tied == !entry.at("stored").get<bool>());
    CHECK(found->shape.to_string() == Shape(entry.at("shape").get<std::vector<std::int64_t>>()).to_string());
    CHECK(found->dtype == DType::f32);
    CHECK((std::find_if(stored.begin(), stored.end(), same) != stored.end()) ==
          entry.at("stored").get<bool>());
  }
  CHECK(std::is_sorted(expected.begin(), expected.end(), [](auto& a, auto& b) { return a.name < b.name; }));
}

TEST_CASE("safetensors: a well-formed file is read") {
  const ScratchDirectory scratch;
  scratch.write("model.safetensors",
                safetensors_bytes(R"({"__metadata__": {"a": "b"}, "x": {"dtype": "F32", "shape": [2],
      "data_offsets": [0, 8]}, "y": {"dtype": "BF16", "shape": [], "data_offsets": [8, 10]}})",
                                  std::string(10, '\0')));
  const auto stored = stored_weights(scratch.path());
  REQUIRE(stored.size() == 2);
  CHECK(stored[0] == WeightEntry{"x", {2}, DType::f32, false});
  CHECK(stored[1] == WeightEntry{"y", {}, DType::bf16, false});
}

TEST_CASE("safetensors: malformed headers are refused, naming the tensor") {
  const std::string four(4, '\0');
  const auto one = [](const std::string& body) { return "{\"x\": " + body + "}"; };
  CHECK_THAT(error_for(one(R"({"dtype": "F32", "shape": [1], "data_offsets": [0, 8]})"), four),
             Catch::Contains("x: ") && Catch::Contains("outside"));
  CHECK_THAT(error_for(one(R"({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]})"), four),
             Catch::Contains("needs 8"));
  CHECK_THAT(error_for(one(R"({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]})"), four),
             Catch::Contains("outside"));
  CHECK_THAT(error_for(one(R"({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]})"), four),
             Catch::Contains("shape"));
  CHECK_THAT(error_for(one(R"({"dtype": "F8", "shape": [4], "data_offsets": [0, 4]})"), four),
             Catch::Contains("F8"));
  CHECK_THAT(error_for(one(R"({"dtype": "F32", "shape": [4294967296, 4294967296, 4294967296],
      "data_offsets": [0, 0]})"),
                       ""),
             Catch::Contains("impossible"));
  CHECK_THAT(error_for(one(R"({"dtype": "F32", "shape": [1, 1, 1, 1, 1], "data_offsets": [0, 4]})"), four),
             Catch::Contains("5 axes"));
  CHECK_THAT(error_for(one("7"), four), Catch::Contains("not a JSON object"));
  CHECK_THAT(error_for(one(R"({"shape": [1], "data_offsets": [0, 4]})"), four), Catch::Contains("dtype"));
  CHECK_THAT(error_for(R"({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
      "x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})",
                       four),
             Catch::Contains("twice"));
  CHECK_THAT(error_for("{", four), Catch::Contains("not valid JSON"));
  CHECK_THAT(error_for("[]", four), Catch::Contains("not a JSON object"));
}

TEST_CASE("safetensors: overlaps, holes and left-over bytes are refused") {
  const auto two = [](const char* a, const char* b) {
    return std::string(R"({"x": {"dtype": "F32", "shape": [1], "data_offsets": )") + a +
           R"(}, "y": {"dtype": "F32", "shape": [1], "data_offsets": )" + b + "}}";
  };
  CHECK(error_for(two("[0, 4]", "[4, 8]"), std::string(8, '\0')).empty());
  CHECK_THAT(error_for(two("[0, 4]", "[2, 6]"), std::string(6, '\0')), Catch::Contains("overlapping"));
  CHECK_THAT(error_for(two("[0, 4]", "[0, 4]"), std::string(4, '\0')), Catch::Contains("overlapping"));
  CHECK_THAT(error_for(two("[0, 4]", "[6, 10]"), std::string(10, '\0')), Catch::Contains("hole"));
  CHECK_THAT(error_for(two("[0, 4]", "[4, 8]"), std::string(9, '\0')), Catch::Contains("after its last"));
}

TEST_CASE("safetensors: a header length beyond the file is refused, without allocating it") {
  const ScratchDirectory scratch;
  scratch.write("model.safetensors", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10));
  CHECK_THAT(error_of([&] { stored_weights(scratch.path()); }), Catch::Contains("claims a header"));
  scratch.write("model.safetensors", "abc");
  CHECK_THAT(error_of([&] { stored_weights(scratch.path()); }), Catch::Contains("too short"));
  scratch.write("model.safetensors", "");
  CHECK_THAT(error_of([&] { stored_weights(scratch.path()); }), Catch::Contains("too short"));
}

TEST_CASE("weights: missing, misshapen and foreign tensors are named") {
  const ScratchDirectory scratch;
  write_random_model(scratch, kSmall, 1);
  const Opened model = open_model(scratch.path() / "model.safetensors");
  CHECK(engine_error(scratch, model).empty());

  // Renaming keeps the file well-formed: one tensor is missing, another is foreign.
  Opened renamed = model;
  renamed.header["model.layers.0.self_attn.k_norm.weight"] = renamed.header["model.norm.weight"];
  renamed.header.erase("model.norm.weight");
  CHECK_THAT(engine_error(scratch, renamed), Catch::Contains("model.norm.weight: is missing"));

  Opened reshaped = model;
  reshaped.header["model.layers.0.mlp.up_proj.weight"]["shape"] = {8, 12};
  CHECK_THAT(engine_error(scratch, reshaped),
             Catch::Contains("up_proj.weight") && Catch::Contains("[8, 12]") && Catch::Contains("[12, 8]"));

  Opened foreign = model;
  foreign.header["extra.weight"] = {
      {"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {foreign.data.size(), foreign.data.size() + 4}}};
  foreign.data += std::string(4, '\0');
  CHECK_THAT(engine_error(scratch, foreign), Catch::Contains("extra.weight"));

  Opened integers = model;
  integers.header["model.norm.weight"]["dtype"] = "I32";
  CHECK_THAT(engine_error(scratch, integers), Catch::Contains("i32"));

  Opened untied = model;
  const std::size_t end = untied.data.size();
  untied.header["lm_head.weight"] = {
      {"dtype", "F32"}, {"shape", {11, 8}}, {"data_offsets", {end, end + 352}}};
  untied.data += std::string(352, '\1');
  CHECK_THAT(engine_error(scratch, untied), Catch::Contains("lm_head.weight: differs"));
}

TEST_CASE("weights: a sharded checkpoint gives the bits of the single file") {
  const ScratchDirectory single, sharded;
  write_random_model(single, kSmall, 2);
  const Opened model = open_model(single.path() / "model.safetensors");
  nlohmann::json index, headers[2];
  std::string data[2];
  std::size_t which = 0;
  for (const auto& [name, entry] : model.header.items()) {
    which = 1 - which;
    const std::size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    headers[which][name] = entry;
    headers[which][name]["data_offsets"] = {data[which].size(), data[which].size() + end - begin};
    data[which] += model.data.substr(begin, end - begin);
    index["weight_map"][name] = which == 0 ? "a.safetensors" : "b.safetensors";
  }
  sharded.write("config.json", kSmall);
  // An odd header length leaves the tensors unaligned: they are copied, not read in place.
  sharded.write(
      "a.safetensors",
      safetensors_bytes(headers[0].dump() + std::string(headers[0].dump().size() % 2 + 1, ' '), data[0]));
  sharded.write("b.safetensors", safetensors_bytes(headers[1].dump(), data[1]));
  sharded.write("model.safetensors.index.json", index.dump());
  const auto one = make_cpu_engine(single.path(), {.threads = 1});
  const auto two = make_cpu_engine(sharded.path(), {.threads = 1});
  CHECK(one->weight_hash() == two->weight_hash());
  const std::vector<TokenId> tokens{1, 5, 10};
  CHECK(same_bits(run(*one, *one->make_cache({}), tokens), run(*two, *two->make_cache({}), tokens)));

  index["weight_map"]["model.norm.weight"] = "../a.safetensors";
  sharded.write("model.safetensors.index.json", index.dump());
  CHECK_THAT(error_of([&] { stored_weights(sharded.path()); }), Catch::Contains("plain file name"));
  index["weight_map"]["model.norm.weight"] = "c.safetensors";
  sharded.write("model.safetensors.index.json", index.dump());
  CHECK_THAT(error_of([&] { stored_weights(sharded.path()); }), Catch::Contains("c.safetensors"));
  index["weight_map"]["model.norm.weight"] = "a.safetensors";
  index["weight_map"]["lm_head.weight"] = "a.safetensors";
  sharded.write("model.safetensors.index.json", index.dump());
  CHECK_THAT(error_of([&] { stored_weights(sharded.path()); }), Catch::Contains("lm_head.weight"));
}

TEST_CASE("weights: bf16 and f16 checkpoints are widened exactly") {
  for (const bool bf16 : {true, false}) {
    const ScratchDirectory narrow, wide;
    write_random_model(narrow, kSmall, 3);
    Opened model = open_model(narrow.path() / "model.safetensors");
    Opened half = model;
    half.data.clear();
    for (auto& [name, entry] : half.header.items()) {
      const std::size_t begin = model.header[name]["data_offsets"][0],
                        end = model.header[name]["data_offsets"][1];
      const std::size_t start = half.data.size();
      for (std::size_t at = begin; at < end; at += 4) {
        // The upper half of an f32 is a bf16; as f16 bits, keep a sign, exponents near 1, and a mantissa.
        std::uint32_t bits = 0;
        std::memcpy(&bits, model.data.data() + at, 4);
        const auto upper = static_cast<std::uint16_t>(bits >> 16);
        const auto stored = bf16 ? upper : static_cast<std::uint16_t>((upper & 0x83ff) | 0x3000);
        const float widened = bf16 ? bf16_to_f32(stored) : f16_to_f32(stored);
        half.data.append(reinterpret_cast<const char*>(&stored), 2);
        std::memcpy(model.data.data() + at, &widened, 4);
      }
      entry["dtype"] = bf16 ? "BF16" : "F16";
      entry["data_offsets"] = {start, half.data.size()};
    }
    wide.write("config.json", kSmall);
    wide.write("model.safetensors", safetensors_bytes(model.header.dump(), model.data));
    narrow.write("model.safetensors", safetensors_bytes(half.header.dump(), half.data));
    const auto a = make_cpu_engine(narrow.path(), {.threads = 1});
    const auto b = make_cpu_engine(wide.path(), {.threads = 1});
    const std::vector<TokenId> tokens{1, 5, 10};
    CHECK(same_bits(run(*a, *a->make_cache({}), tokens), run(*b, *b->make_cache({}), tokens)));
  }
}
