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

TEST_CASE(
    "tolerances: the committed file is complete for f32 and bf16 on cpu and cuda, for the others on cpu") {
  const Tolerances file =
      Tolerances::load(std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / "tolerances.yaml");
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::f16})
    CHECK_NOTHROW(file.require_complete(dtype, DeviceKind::cpu));
  for (const DType dtype : {DType::f32, DType::bf16})
    CHECK_NOTHROW(file.require_complete(dtype, DeviceKind::cuda));
  CHECK_THROWS_AS(file.require_complete(DType::f16, DeviceKind::cuda), Error);
  CHECK(file.op(OpClass::linear, DType::f32, DeviceKind::cpu).lambda == 2.5);
  CHECK(file.op(OpClass::residual, DType::f32, DeviceKind::cpu).rule == Rule::exact);
  CHECK(file.gate("forbidden_weight") == 0);
}

TEST_CASE(
    "tolerances: every bound on a device says whether it was measured there, and its reason says the same") {
  const Tolerances file =
      Tolerances::load(std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / "tolerances.yaml");
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (int i = 0; i < kOpClassCount; ++i) {
      const auto op = static_cast<OpClass>(i);
      INFO(op_class_name(op) << " " << dtype_name(dtype));
      const Tolerance& row = file.op(op, dtype, DeviceKind::cuda);
      const bool says_so = row.why.find("Not yet measured on a device") != std::string::npos;
      CHECK(row.measured == !says_so);
      if (row.rule == Rule::exact) CHECK(row.measured);
      // Until it is measured, no bound but the CPU's is justified.
      const Tolerance& cpu = file.op(op, dtype, DeviceKind::cpu);
      CHECK(row.rule == cpu.rule);
      if (!row.measured) CHECK(row.lambda == cpu.lambda);
      CHECK(cpu.measured);
    }
  }
}

TEST_CASE("tolerances: a run by bounds that no such device was measured for is told so") {
  const std::string unmeasured =
      "  - {op: linear, dtype: f32, device: cpu, rule: bound, lambda: 2.5, measured: false, why: x}";
  CHECK_FALSE(Tolerances::parse(rows(unmeasured), "t.yaml")
                  .op(OpClass::linear, DType::f32, DeviceKind::cpu)
                  .measured);
  CHECK(Tolerances::parse(rows(kLinear), "t.yaml").op(OpClass::linear, DType::f32, DeviceKind::cpu).measured);

  const Tolerances file =
      Tolerances::load(std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / "tolerances.yaml");
  CHECK(file.unmeasured(DType::f32, DeviceKind::cpu).empty());
  CHECK(file.unmeasured(DType::bf16, DeviceKind::cpu).empty());
  const std::string told = file.unmeasured(DType::bf16, DeviceKind::cuda);
  CHECK_THAT(told,
             Catch::StartsWith("no cuda device was measured for the bounds of inv_freq, cos_sin, rms_norm"));
  CHECK_THAT(told, Catch::EndsWith("in bf16"));
  CHECK_THAT(told, !Catch::Contains("residual"));
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
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: exact, measured: false, why: x}"),
          "has no 'measured'");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: bound, lambda: 2, measured: maybe, why: x}"),
          "'measured' is neither true nor false");
  refuses(rows("  - {op: linear, dtype: f32, device: cpu, rule: exact, why: x, wide: 1}"),
          "unknown key 'wide'");
  refuses(rows(kLinear, "[{gate: nonsense, value: 1, why: x}]"), "unknown gate 'nonsense'");
  refuses("version: 2\nops: []\ngates: []\n", "version is not 1");
  refuses("ops: [", "t.yaml");
  refuses("", "t.yaml");
  CHECK_THROWS_WITH(Tolerances::load("no/such/tolerances.yaml"), Catch::Contains("cannot be read"));
}
