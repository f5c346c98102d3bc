#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "harness/explain.h"

using namespace plumbline;

namespace {

OpResult failed(OpSite site, double error, double gate) {
  OpResult op;
  op.site = site;
  op.judged_as = probe_spec(site.probe).op;
  op.verdict = Verdict::failed;
  op.reason = "beyond its bound";
  op.error = error;
  op.gate = gate;
  op.share = error / gate;
  op.worst.index = {1, 0, 0};
  op.rows = 4;
  return op;
}

OpResult passed(OpSite site, bool trivial) {
  OpResult op;
  op.site = site;
  op.judged_as = probe_spec(site.probe).op;
  op.verdict = Verdict::passed;
  op.trivial = trivial;
  return op;
}

Tensor f32(Shape shape, std::vector<float> values) {
  return Tensor::from<float>(DType::f32, shape, values);
}

}  // namespace

TEST_CASE("headline: the first wrong op in graph order, its error, its gate, and where it shows") {
  Judgement judgement;
  CHECK(headline(judgement).empty());
  judgement.ops = {passed({Probe::q_rope, 2}, false), failed({Probe::k_rope, 2}, 3.1e-2, 1e-6)};
  judgement.ops[1].first_bad_row = 1;
  judgement.ops[1].bad_rows = 3;
  CHECK(headline(judgement) ==
        "first wrong op: model.layers.2.self_attn.k_rope, local error 3.1e-02 (gate 1.0e-06), from position "
        "1 on");
  judgement.ops[1].first_bad_row = 0;
  judgement.ops[1].bad_rows = 4;
  judgement.ops.push_back(failed({Probe::scores, 2}, 1, 1e-3));
  CHECK(headline(judgement) ==
        "first wrong op: model.layers.2.self_attn.k_rope, local error 3.1e-02 (gate 1.0e-06), at every "
        "position; 1 more "
        "ops are wrong by their own inputs");
}

TEST_CASE("headline: rows that are no positions are not called so") {
  Judgement judgement;
  judgement.ops = {failed({Probe::inv_freq, -1}, 1e-8, 1e-12)};
  judgement.ops[0].first_bad_row = 1;
  judgement.ops[0].bad_rows = 3;
  CHECK_THAT(headline(judgement), !Catch::Contains("position"));
  judgement.ops = {failed({Probe::past_key, 0}, 1, 1e-12)};
  judgement.ops[0].first_bad_row = 1;
  judgement.ops[0].bad_rows = 3;
  CHECK_THAT(headline(judgement), Catch::Contains("from slot 1 on"));
}

TEST_CASE("skip_trivial: an op with nothing but trivial checks proves nothing, one with a real check does") {
  Judgement judgement;
  judgement.ops = {passed({Probe::q_rope, 0}, true), passed({Probe::k_rope, 0}, true),
                   passed({Probe::cos, -1}, true), passed({Probe::sin, -1}, false)};
  skip_trivial(judgement);
  CHECK(judgement.ops[0].verdict == Verdict::skipped);
  CHECK(judgement.ops[1].verdict == Verdict::skipped);
  CHECK(judgement.ops[2].verdict == Verdict::passed);
  CHECK(judgement.ops[3].verdict == Verdict::passed);
}

TEST_CASE("to_checks: passed ops of one step and class share a row, the worst; their number stays") {
  Judgement judgement;
  for (const int step : {0, 1}) {
    for (const int layer : {0, 1, 2}) {
      judgement.ops.push_back(passed({Probe::q_proj, layer}, false));
      judgement.ops.back().step = step;
      judgement.ops.back().share = layer == 1 ? 0.5 : 0.25;
    }
  }
  std::vector<Check> checks = to_checks(judgement, "");
  REQUIRE(checks.size() == 2);
  CHECK(checks[0].what == "model.layers.1.self_attn.q_proj");
  CHECK(checks[1].what == "seq.0/step.1/model.layers.1.self_attn.q_proj");
  for (const Check& check : checks) {
    CHECK(check.count == 3);
    CHECK(check.share == 0.5);
  }
  // Whatever did not pass, or proves nothing, or rests on an assumption, is not hidden behind what did.
  judgement.ops[3].trivial = true;
  judgement.ops[4].reason = "a span";
  judgement.ops[5].verdict = Verdict::failed;
  judgement.ops.push_back(judgement.ops[5]);
  checks = to_checks(judgement, "");
  REQUIRE(checks.size() == 5);
  CaseReport entry;
  entry.checks = checks;
  CHECK(entry.checked() == 7);
  CHECK(entry.counts().passed == 5);
  CHECK(entry.counts().failed == 2);
  CHECK(checks[1].trivial);
}

TEST_CASE("to_checks: of a single step every op keeps its row") {
  Judgement judgement;
  judgement.ops = {passed({Probe::q_proj, 0}, false), passed({Probe::q_proj, 1}, false)};
  CHECK(to_checks(judgement, "").size() == 2);
}

TEST_CASE("checks: a figure passes only when it is proven to lie within its gate") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(check_at_most("x", "", "m", 1, 1).verdict == Verdict::passed);
  CHECK(check_at_most("x", "", "m", 1.1, 1).verdict == Verdict::failed);
  CHECK(check_at_most("x", "", "m", nan, 1).verdict == Verdict::failed);
  CHECK(check_at_most("x", "", "m", 0, 0).verdict == Verdict::passed);
}

TEST_CASE("checks: bits, closeness and logits need the same shape and something to compare") {
  const Tensor a = f32({2, 2}, {1, 2, 3, 4}), b = f32({4}, {1, 2, 3, 4}), none = Tensor(DType::f32, {0, 2});
  CHECK(check_same_bits("x", "", a.view(), a.view()).verdict == Verdict::passed);
  CHECK(check_same_bits("x", "", a.view(), b.view()).verdict == Verdict::failed);
  CHECK(check_same_bits("x", "", none.view(), none.view()).verdict == Verdict::failed);
  CHECK(check_same_bits("x", "", f32({1}, {0.0f}).view(), f32({1}, {-0.0f}).view()).verdict ==
        Verdict::failed);
  CHECK(check_close("x", "", a.view(), b.view(), 1e9).verdict == Verdict::failed);
  CHECK(check_close("x", "", none.view(), none.view(), 1e9).verdict == Verdict::failed);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(check_close("x", "", f32({1}, {nan}).view(), f32({1}, {nan}).view(), 1e9).verdict == Verdict::failed);
  for (const Check& check :
       check_logits("", f32({1, 2}, {nan, 1}).view(), f32({1, 2}, {1, 1}).view(), 1e9, 1e9)) {
    CHECK(check.verdict == Verdict::failed);
  }
  // Scaled by the row's largest: 0.1 off a row of 1000 is 1e-4.
  CHECK(
      check_logits("", f32({1, 2}, {1000.1f, 1}).view(), f32({1, 2}, {1000, 1}).view(), 2e-4, 1)[0].verdict ==
      Verdict::passed);
  CHECK(check_logits("", f32({1, 2}, {1.1f, 1}).view(), f32({1, 2}, {1, 1}).view(), 2e-4, 1)[0].verdict ==
        Verdict::failed);
}

TEST_CASE("checks: weights sum to one and stay where they are allowed") {
  const Tensor half = f32({2, 2}, {0.5f, 0.5f, 1, 0}), off = f32({2, 2}, {0.5f, 0.5f, 0.9f, 0});
  CHECK(check_sums_to_one("x", "", half.view(), 1e-6).verdict == Verdict::passed);
  CHECK(check_sums_to_one("x", "", off.view(), 1e-6).verdict == Verdict::failed);
  const std::vector<std::uint8_t> causal{1, 1, 1, 0}, wrong{1, 0, 1, 1};
  const auto mask = [](const std::vector<std::uint8_t>& flags) {
    return Tensor::from<std::uint8_t>(DType::boolean, Shape{2, 2}, flags);
  };
  CHECK(check_forbidden_weight("x", "", half.view(), mask(causal).view(), 0).verdict == Verdict::passed);
  CHECK(check_forbidden_weight("x", "", half.view(), mask(wrong).view(), 0).verdict == Verdict::failed);
}

TEST_CASE("checks: another token is a tie-flip only where the uniform lies at the edge between the two") {
  const Tensor p = Tensor::from<double>(DType::f64, Shape{3}, std::vector<double>{0.25, 0.5, 0.25});
  const Tensor bound = Tensor::from<double>(DType::f64, Shape{3}, std::vector<double>{1e-8, 1e-8, 1e-8});
  const auto verdict = [&](std::int64_t actual, std::int64_t expected, double u) {
    return check_same_draw("x", "", actual, expected, p.view(), bound.view(), 1, u).verdict;
  };
  CHECK(verdict(1, 1, 0.3) == Verdict::passed);
  CHECK(verdict(0, 1, 0.25 + 1e-9) == Verdict::skipped);
  CHECK(verdict(0, 1, 0.26) == Verdict::failed);
  CHECK(verdict(0, 2, 0.25) == Verdict::failed);  // two edges apart
  CHECK(verdict(7, 1, 0.3) == Verdict::failed);
}
