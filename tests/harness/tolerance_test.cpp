#include <catch2/catch.hpp>

#include "harness/tolerance.h"

using namespace plumbline;

namespace {

std::string rows(const std::string& ops, const std::string& gates = "[]") {
  return "version: 1\nops:\n" + ops + "\ngates: " + gates + "\n";
}
const std::string kLinear =
    "  - {op: linear, dtype: f32, device: cpu, rule: bound, lambda: 2.5, why: measured}\n";

void refuses(const std::string& yaml, const std::string& message) {
  CHECK_THROWS_WITH(Tolerances::parse(yaml, "t.yaml"), Catch::Contains(message));
}

}  // namespace

TEST_CASE("tolerances: the committed file is complete for f32 on cpu and cuda, for the others on cpu") {
  const Tolerances file =
      Tolerances::load(std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / "tolerances.yaml");
  CHECK_NOTHROW(file.require_complete(DType::f32, DeviceKind::cpu));
  CHECK_NOTHROW(file.require_complete(DType::f32, DeviceKind::cuda));
  for (const DType dtype : {DType::f64, DType::bf16, DType::f16})
    CHECK_NOTHROW(file.require_complete(dtype, DeviceKind::cpu));
  CHECK(file.op(OpClass::linear, DType::f32, DeviceKind::cpu).lambda == 2.5);
  CHECK(file.op(OpClass::residual, DType::f32, DeviceKind::cpu).rule == Rule::exact);
  CHECK(file.gate("forbidden_weight") == 0);
}

TEST_CASE("tolerances: a row that is not there is an error, never a default") {
  const Tolerances file = Tolerances::parse(rows(kLinear), "t.yaml");
  CHECK(file.op(OpClass::linear, DType::f32, DeviceKind::cpu).lambda == 2.5);
  CHECK_THROWS_WITH(file.op(OpClass::rope, DType::f32, DeviceKind::cpu),
                    Catch::Contains("no tolerance for rope x f32 x cpu"));
  CHECK_THROWS_WITH(file.op(OpClass::linear, DType::bf16, DeviceKind::cpu), Catch::Contains("bf16"));
  CHECK_THROWS_AS(file.gate("position"), Error);
  CHECK_THROWS_AS(file.require_complete(DType::f32, DeviceKind::cpu), Error);
}

TEST_CASE("tolerances: a broken file is refused with its line") {
  refuses(rows(kLinear + kLinear), "t.yaml:4: linear x f32 x cpu stands twice");
  refuses(rows("  - {op: linaer, dtype: f32, device: cpu, rule: exact, why: x}"),
          "unknown op class 'linaer'");
  refuses(rows("  - {op: linear, dtype: f31, device: cpu, rule: exact, why: x}"), "unknown dtype 'f31'");
  refuses(rows("  - {op: linear, dtype: f32, device: tpu, rule: exact, why: x}"), "unknown device 'tpu'");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: lax, why: x}"), "unknown rule 'lax'");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: bound, why: x}"), "'lambda' is missing");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: bound, lambda: .nan, why: x}"),
          "not a positive");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: bound, lambda: .inf, why: x}"),
          "not a positive");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: bound, lambda: -1, why: x}"),
          "not a positive");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: bound, lambda: 2}"), "'why' is missing");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: exact, lambda: 2, why: x}"),
          "has no 'lambda'");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: exact, why: x, wide: 1}"),
          "unknown key 'wide'");
  refuses(rows(kLinear, "[{gate: nonsense, value: 1, why: x}]"), "unknown gate 'nonsense'");
  refuses("version: 2\nops: []\ngates: []\n", "version is not 1");
  refuses("ops: [", "t.yaml");
  refuses("", "t.yaml");
  CHECK_THROWS_WITH(Tolerances::load("no/such/tolerances.yaml"), Catch::Contains("cannot be read"));
}
