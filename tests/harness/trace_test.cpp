#include <algorithm>
#include <cstring>
#include <fstream>

#include <catch2/catch.hpp>

#include "harness/trace_file.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

namespace {

Tensor ramp(Shape shape) {
  Tensor tensor(DType::f32, shape);
  float value = 0;
  for (float& x : tensor.values<float>()) x = value += 0.25f;
  return tensor;
}

Trace two_steps() {
  Trace trace;
  trace.metadata = {1, "native-cpu", DType::f32, DType::f32, DeviceKind::cuda, "feed", DType::bf16};
  trace.initial[0].key[0] = ramp({2, 1, 4});
  trace.initial[0].value[0] = ramp({2, 1, 4});
  for (int step = 0; step < 2; ++step) {
    TraceStep record;
    record.step = step;
    record.tensors.emplace(OpSite{Probe::embed_tokens, -1}, ramp({step == 0 ? 3 : 1, 4}));
    record.tensors.emplace(OpSite{Probe::past_key, 0}, ramp({step == 0 ? 5 : 6, 1, 4}));
    trace.steps.push_back(std::move(record));
  }
  return trace;
}

void write_raw(const std::filesystem::path& path, const std::string& header, std::size_t data_bytes,
               std::int64_t claimed = -1) {
  std::ofstream file(path, std::ios::binary);
  const std::uint64_t length = claimed >= 0 ? static_cast<std::uint64_t>(claimed) : header.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << header << std::string(data_bytes, '\0');
}

}  // namespace

TEST_CASE("trace: written and read back, it is the same") {
  const TemporaryDirectory directory;
  const Trace trace = two_steps();
  write_trace(trace, directory / "t.safetensors");
  const Trace back = read_trace(directory / "t.safetensors");
  CHECK(back.metadata.engine == "native-cpu");
  CHECK(back.metadata.weight_hash == "feed");
  CHECK(back.metadata.device == DeviceKind::cuda);
  CHECK(back.metadata.cache == DType::bf16);
  REQUIRE(back.steps.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    REQUIRE(back.steps[i].tensors.size() == trace.steps[i].tensors.size());
    for (const auto& [site, tensor] : trace.steps[i].tensors) {
      const Tensor& other = back.steps[i].tensors.at(site);
      REQUIRE(other.shape() == tensor.shape());
      CHECK(std::memcmp(other.bytes().data(), tensor.bytes().data(), tensor.bytes().size()) == 0);
    }
  }
  CHECK(back.initial.at(0).key.at(0).shape() == Shape{2, 1, 4});
  CHECK_FALSE(std::filesystem::exists(directory / "t.safetensors.partial"));
}

TEST_CASE("trace: a step knows what was in the cache before it") {
  const Trace trace = two_steps();
  const TraceStepView first(trace, 0), second(trace, 1);
  CHECK(first.past_length() == 2);
  CHECK(first.tokens() == 3);
  CHECK(first.previous_key(0)->shape == Shape{2, 1, 4});
  CHECK(second.past_length() == 5);
  CHECK(second.tokens() == 1);
  CHECK(second.previous_key(0)->shape == Shape{5, 1, 4});
  CHECK(second.previous_value(0) == nullptr);  // step 0 recorded no values
  CHECK(second.find({Probe::lm_head, -1}) == nullptr);
}

namespace {

// Steps of so many tokens each, in one sequence.
Trace steps_of(const std::vector<std::int64_t>& tokens) {
  Trace trace;
  for (const std::int64_t count : tokens) {
    TraceStep record;
    record.step = static_cast<int>(trace.steps.size());
    record.tensors.emplace(OpSite{Probe::embed_tokens, -1}, ramp({count, 4}));
    trace.steps.push_back(std::move(record));
  }
  return trace;
}

}  // namespace

TEST_CASE("trace: a ring forgets its oldest tokens but the first") {
  Trace trace = steps_of({3, 2, 1, 4, 1});
  trace.rings[0] = {2, 4};
  const std::int64_t past[] = {0, 3, 5, 2, 5}, before[] = {0, 3, 5, 6, 10}, gone[] = {0, 0, 0, 4, 1};
  for (std::size_t i = 0; i < 5; ++i) {
    const TraceStepView step(trace, i);
    INFO("step " << i);
    CHECK(step.past_length() == past[i]);
    CHECK(step.tokens_before() == before[i]);
    CHECK(step.forgotten().count == gone[i]);
    if (gone[i] > 0) CHECK(step.forgotten().begin == 2);
  }
  trace.rings[0] = {2, 3};
  CHECK_THROWS_WITH(TraceStepView(trace, 3), Catch::Contains("a step of 4 tokens over a ring of 3"));
  trace.initial[0].key[0] = ramp({6, 1, 4});
  CHECK_THROWS_WITH(TraceStepView(trace, 0), Catch::Contains("begins with 6 tokens, and its ring holds 5"));
}

TEST_CASE("trace: caches keep what is declared, else the half type of the first one recorded") {
  Trace trace = steps_of({3, 1});
  CHECK_FALSE(TraceStepView(trace, 1).cache_dtype().has_value());
  trace.steps[0].tensors.emplace(OpSite{Probe::past_key, 0}, Tensor(DType::f16, {3, 1, 4}));
  trace.steps[0].tensors.emplace(OpSite{Probe::past_key, 1}, Tensor(DType::bf16, {3, 1, 4}));
  CHECK(TraceStepView(trace, 1).cache_dtype() == DType::f16);
  trace.initial[0].key[0] = Tensor(DType::bf16, {2, 1, 4});
  CHECK(TraceStepView(trace, 1).cache_dtype() == DType::bf16);
  trace.metadata.cache = DType::f32;
  CHECK(TraceStepView(trace, 1).cache_dtype() == DType::f32);
}

TEST_CASE("trace file: says how a cache forgets, for all sequences or for each") {
  const TemporaryDirectory directory;
  const auto path = directory / "ring.safetensors";
  Trace trace = steps_of({3, 2});
  trace.steps[1].sequence = 1;
  trace.steps[1].step = 0;
  trace.rings[0] = {2, 4};
  trace.rings[1] = {0, 6};
  write_trace(trace, path);
  const Trace back = read_trace(path);
  CHECK_FALSE(back.metadata.cache.has_value());
  REQUIRE(back.rings.size() == 2);
  CHECK((back.rings.at(0).kept == 2 && back.rings.at(0).ring == 4));
  CHECK((back.rings.at(1).kept == 0 && back.rings.at(1).ring == 6));

  const auto with = [&](const std::string& metadata) {
    write_raw(path,
              R"({"__metadata__":{)" + metadata +
                  R"(},"seq.0/step.0/model.norm":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                  R"("seq.2/step.0/model.norm":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
              16);
    return read_trace(path);
  };
  const Trace one_for_all = with(R"("cache_ring":"4+1020","cache_dtype":"f16")");
  CHECK(one_for_all.rings.at(2).ring == 1020);
  CHECK(one_for_all.metadata.cache == DType::f16);
  for (const char* ring : {"x", "4+", "+4", "-1", "4,", "1,2,3", "0", "4+0", "99999999999999", "4 "}) {
    INFO(ring);
    CHECK_THROWS_WITH(with(std::string(R"("cache_ring":")") + ring + "\""),
                      Catch::Contains("cache_ring has") && !Catch::Contains("\n"));
  }
  CHECK_THROWS_WITH(with(R"("cache_dtype":"i64")"), Catch::Contains("cache_dtype is i64"));
}

TEST_CASE("trace file: mapped, it is the same, and stays so when its memory is let go of") {
  const TemporaryDirectory directory;
  const Trace trace = two_steps();
  write_trace(trace, directory / "t.safetensors");
  Tensor kept;
  {
    const Trace mapped = map_trace(directory / "t.safetensors");
    CHECK(mapped.metadata.weight_hash == "feed");
    CHECK(mapped.initial.at(0).key.at(0).shape() == Shape{2, 1, 4});
    for (int round = 0; round < 2; ++round) {
      for (std::size_t i = 0; i < 2; ++i) {
        REQUIRE(mapped.steps[i].tensors.size() == trace.steps[i].tensors.size());
        for (const auto& [site, tensor] : trace.steps[i].tensors) {
          const Tensor& other = mapped.steps[i].tensors.at(site);
          REQUIRE(other.shape() == tensor.shape());
          CHECK(std::ranges::equal(other.bytes(), tensor.bytes()));
          other.unload();
        }
      }
    }
    kept = mapped.steps[0].tensors.at({Probe::embed_tokens, -1});
  }
  CHECK(std::ranges::equal(kept.bytes(), trace.steps[0].tensors.at({Probe::embed_tokens, -1}).bytes()));
}

TEST_CASE("trace file: written as it is recorded, it is the same, each tensor where it can be read") {
  const TemporaryDirectory directory;
  const auto path = directory / "t.safetensors";
  Trace outline;
  outline.metadata.engine = "some engine";
  Tensor mask(DType::boolean, {3, 3});
  mask.values<std::uint8_t>()[4] = 1;
  const Tensor ids = Tensor::from<std::int64_t>(DType::i64, {3}, std::vector<std::int64_t>{7, 8, 9});
  const Tensor rows = ramp({3, 5});
  {
    TraceFileWriter file(path, {}, 2, 2);
    for (const int step : {0, 1}) {
      file.add(0, step, {Probe::attention_mask, -1}, mask.view());
      file.add(0, step, {Probe::norm, -1}, rows.view());
      file.add(0, step, {Probe::input_ids, -1}, ids.view());  // an odd number of f32 lies before it
    }
    CHECK(file.tensors() == 6);
    CHECK_FALSE(std::filesystem::exists(path));
    file.keep(outline);
  }
  for (const Trace& back : {read_trace(path), map_trace(path)}) {
    CHECK(back.metadata.engine == "some engine");
    REQUIRE(back.steps.size() == 2);
    for (const TraceStep& step : back.steps) {
      CHECK(std::ranges::equal(step.tensors.at({Probe::attention_mask, -1}).bytes(), mask.bytes()));
      CHECK(std::ranges::equal(step.tensors.at({Probe::norm, -1}).bytes(), rows.bytes()));
      CHECK(std::ranges::equal(step.tensors.at({Probe::input_ids, -1}).bytes(), ids.bytes()));
      CHECK(reinterpret_cast<std::uintptr_t>(step.tensors.at({Probe::input_ids, -1}).bytes().data()) % 8 ==
            0);
    }
  }
}

TEST_CASE("trace file: one that is not finished leaves nothing behind, and room for all names is enough") {
  const TemporaryDirectory directory;
  const auto path = directory / "t.safetensors";
  { TraceFileWriter file(path, {}, 1, 1); }
  CHECK(std::filesystem::is_empty(directory.path()));
  TraceFileWriter file(path, {}, 3, 2);
  const Tensor one = ramp({1});
  for (const int step : {0, 1}) {
    for (const OpSite site : forward_sites(3, true)) file.add(0, step, site, one.view());
  }
  file.keep({});
  CHECK(map_trace(path).steps[1].tensors.size() == forward_sites(3, true).size());
}

TEST_CASE("trace file: says what is kept in which dtype, and how often an op rounds") {
  const TemporaryDirectory directory;
  const auto path = directory / "half.safetensors";
  Trace trace = steps_of({3});
  trace.metadata.storage = DType::bf16;
  trace.metadata.precision = {DType::f32, DType::bf16, std::nullopt, Rounding::each};
  write_trace(trace, path);
  const TraceMetadata back = read_trace(path).metadata;
  CHECK(back.storage == DType::bf16);
  CHECK(back.precision.rotary == DType::f32);
  CHECK(back.precision.scores == DType::bf16);
  CHECK_FALSE(back.precision.probs.has_value());
  CHECK(back.precision.rounding == Rounding::each);

  const auto with = [&](const std::string& metadata) {
    write_raw(path,
              R"({"__metadata__":{)" + metadata +
                  R"(},"seq.0/step.0/model.norm":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
              8);
    return read_trace(path);
  };
  CHECK(with(R"("storage_dtype":"f16")").metadata.precision.rounding == Rounding::once);
  CHECK_THROWS_WITH(with(R"("scores_dtype":"i64")"), Catch::Contains("scores_dtype is i64"));
  CHECK_THROWS_WITH(with(R"("probs_dtype":"half")"), Catch::Contains("half"));
  CHECK_THROWS_WITH(with(R"("rounding":"twice")"), Catch::Contains("unknown rounding 'twice'"));
}

TEST_CASE("trace: scores and weights that nobody declared are what was recorded, else f32") {
  Trace trace = steps_of({3, 1});
  CHECK_FALSE(TraceStepView(trace, 0).precision().scores.has_value());
  trace.metadata.storage = DType::bf16;
  CHECK(TraceStepView(trace, 0).precision().scores == DType::f32);
  trace.steps[1].tensors.emplace(OpSite{Probe::scores, 0}, Tensor(DType::bf16, {1, 1, 4}));
  CHECK(TraceStepView(trace, 0).precision().scores == DType::bf16);
  CHECK(TraceStepView(trace, 0).precision().probs == DType::f32);
  trace.metadata.precision.scores = DType::f32;
  CHECK(TraceStepView(trace, 0).precision().scores == DType::f32);
}

TEST_CASE("trace file: a broken one is refused in one line, and nothing it claims is allocated") {
  const TemporaryDirectory directory;
  const auto path = directory / "bad.safetensors";
  const auto refuses = [&](const std::string& message) {
    CHECK_THROWS_WITH(read_trace(path), Catch::Contains(message) && !Catch::Contains("\n"));
    CHECK_THROWS_WITH(map_trace(path), Catch::Contains(message) && !Catch::Contains("\n"));
  };
  refuses("no such file");
  write_raw(path, "", 0, 0);
  refuses("header is not a JSON object");
  write_raw(path, "{}", 0, 1000000);
  refuses("header claims 1000000 bytes");
  write_raw(path, "[1]", 0);
  refuses("header is not a JSON object");
  write_raw(path, std::string(10000, '['), 0);
  refuses("header is not a JSON object");
  write_raw(path, "{}", 8);
  refuses("holds no tensor");
  write_raw(path, R"({"model.norm":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4);
  refuses("leave the file's 4 data bytes");
  write_raw(path, R"({"model.norm":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})",
            8);
  refuses("larger than the file");
  write_raw(path, R"({"model.norm":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8);
  refuses("8 bytes do not hold [3] f32");
  write_raw(path, R"({"model.norm":{"dtype":"F8","shape":[2],"data_offsets":[0,8]}})", 8);
  refuses("dtype \"F8\"");
  write_raw(path, R"({"model.nrom":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  refuses("model.nrom: unknown probe");
  write_raw(path, R"({"model.norm":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8);
  refuses("no whole number");
  write_raw(path,
            R"({"model.norm":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
            R"("seq.0/step.0/lm_head":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
            8);
  refuses("on some names only");
  write_raw(path,
            R"({"__metadata__":{"format_version":"9"},"model.norm":{"dtype":"F32","shape":[2],)"
            R"("data_offsets":[0,8]}})",
            8);
  refuses("version 9 is not known");
}

TEST_CASE("trace file: one that cannot be written leaves nothing behind") {
  const TemporaryDirectory directory;
  CHECK_THROWS_WITH(write_trace(two_steps(), directory / "none" / "t.safetensors"),
                    Catch::Contains("cannot be written"));
  std::filesystem::create_directory(directory / "folder");
  CHECK_THROWS_WITH(write_trace(two_steps(), directory / "folder"), Catch::Contains("is it a directory?"));
  CHECK_FALSE(std::filesystem::exists(directory / "folder.partial"));
}

TEST_CASE("probe filter: patterns choose probes, and one that matches nothing is refused") {
  const ProbeFilter filter({"model.layers.*.self_attn.*", "lm_head"});
  CHECK(filter.matches({Probe::k_rope, 3}));
  CHECK(filter.matches({Probe::lm_head, -1}));
  CHECK_FALSE(filter.matches({Probe::act, 3}));
  CHECK_NOTHROW(filter.check(4));
  CHECK_THROWS_WITH(ProbeFilter({"model.layers.7.*"}).check(5), Catch::Contains("no probe matches"));
}
