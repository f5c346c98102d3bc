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
  trace.metadata = {1, "native-cpu", DType::f32, DType::f32, DeviceKind::cuda, "feed"};
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

TEST_CASE("trace file: a broken one is refused in one line, and nothing it claims is allocated") {
  const TemporaryDirectory directory;
  const auto path = directory / "bad.safetensors";
  const auto refuses = [&](const std::string& message) {
    CHECK_THROWS_WITH(read_trace(path), Catch::Contains(message) && !Catch::Contains("\n"));
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
