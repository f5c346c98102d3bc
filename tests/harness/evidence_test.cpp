// Tables that explain: the right order, the right place, and nothing made of nothing.
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/evidence.h"

using namespace plumbline;

namespace {

OpResult op(OpSite site, double share, Verdict verdict = Verdict::passed) {
  OpResult result;
  result.site = site;
  result.judged_as = probe_spec(site.probe).op;
  result.verdict = verdict;
  result.share = share;
  result.local.relative_l2 = share * 1e-7;
  return result;
}

OpResult residual(int layer, double rms) {
  OpResult result = op({Probe::mlp_residual, layer}, 0);
  result.accumulated.emplace();
  result.accumulated->rms = rms;
  result.accumulated->relative_l2 = rms / 10;
  return result;
}

// [tokens, 2] in which row i is off by `errors[i]` in its first element.
Tensor rows(const std::vector<float>& errors) {
  Tensor tensor(DType::f32, {static_cast<std::int64_t>(errors.size()), 2});
  for (std::size_t i = 0; i < errors.size(); ++i) tensor.values<float>()[2 * i] = errors[i];
  return tensor;
}

}  // namespace

TEST_CASE("error by position: a curve with its correlation") {
  const Tensor actual = rows({0, 1, 2, 3}), expected(DType::f32, {4, 2});
  const Evidence table = error_by_position(actual.view(), expected.view());
  CHECK(table.title == "error by position (r 1.00, n 4, p < 1e-4)");
  REQUIRE(table.rows.size() == 4);
  CHECK(table.rows[3][1] == "3.00e+00");
  CHECK(table.rows[0][2].empty());
  CHECK(table.rows[3][2].size() > table.rows[1][2].size());
  REQUIRE(table.picture);
  CHECK(table.picture->curves.at(0).y == std::vector<double>{0, 1, 2, 3});
  CHECK(table.picture->curves.at(1).y == std::vector<double>{0, 0.5, 1, 1.5});
  check_picture(*table.picture);
}

TEST_CASE("error by position: one position is no curve, and thousands keep their peaks") {
  CHECK_FALSE(error_by_position(rows({1}).view(), rows({0}).view()).picture);
  std::vector<float> errors(5000, 1);
  errors[3333] = 9;
  const Evidence table = error_by_position(rows(errors).view(), rows(std::vector<float>(5000)).view());
  CHECK(table.rows.size() == 24);
  const std::vector<double>& curve = table.picture->curves.at(0).y;
  CHECK(curve.size() <= 512);
  CHECK(*std::max_element(curve.begin(), curve.end()) == 9);
  check_picture(*table.picture);
}

TEST_CASE("by component: those with wrong ops first, in graph order of the first") {
  Judgement judgement;
  judgement.ops = {op({Probe::embed_tokens, -1}, 0),
                   op({Probe::input_layernorm, 0}, 0.4),
                   op({Probe::q_rope, 0}, 3, Verdict::failed),
                   op({Probe::scores, 0}, 0.9),
                   op({Probe::gate_proj, 0}, 50, Verdict::failed),
                   op({Probe::k_rope, 1}, 7, Verdict::failed)};
  const Evidence table = share_by_component(judgement);
  REQUIRE(table.rows.size() == 5);
  CHECK(table.rows[0] == std::vector<std::string>{"position encoding", "2", "2",
                                                  "model.layers.0.self_attn.q_rope", "7.000",
                                                  "model.layers.1.self_attn.k_rope"});
  CHECK(table.rows[1][0] == "mlp");
  CHECK(table.rows[2][0] == "attention");
  CHECK(table.rows[3][0] == "norm and residual");
  CHECK(table.rows[4][0] == "embedding and head");
  CHECK(table.rows[4][3] == "–");
}

TEST_CASE("error by layer: growth is the geometric mean over runs and layers") {
  Judgement one, two;
  one.ops = {op({Probe::q_proj, 0}, 0.5), residual(0, 1), residual(1, 2), residual(2, 4)};
  two.ops = {op({Probe::q_proj, 0}, 0.2), residual(0, 1), residual(1, 8), residual(2, 16)};
  const Judgement* const both[] = {&one, &two};
  const Evidence table = error_by_layer(both);
  REQUIRE(table.rows.size() == 3);
  CHECK(table.title == "error by layer: growth factor 2.83 per layer (geometric mean)");  // (2 2 8 2)^(1/4)
  CHECK(table.rows[0] == std::vector<std::string>{"0", "0.500", "self_attn.q_proj", "5.00e-08",
                                                  "self_attn.q_proj", "1.00e-01", "1.00e+00", "–"});
  CHECK(table.rows[1][7] == "4.00");
  CHECK(table.rows[2][7] == "2.00");
  CHECK(table.rows[2][6] == "1.60e+01");
  check_picture(*table.picture);
}

TEST_CASE(
    "error by layer: without truth the accumulated error is not measured, and an empty judgement has no "
    "layers") {
  Judgement alone;
  alone.ops = {op({Probe::q_proj, 0}, 0.5)};
  const Evidence table = error_by_layer(alone);
  CHECK(table.title == "error by layer");
  CHECK(table.rows[0][5] == "–");
  CHECK(error_by_layer(Judgement{}).rows.empty());
  CHECK_FALSE(error_by_layer(Judgement{}).picture);
}

TEST_CASE(
    "share by op: the heat map has a row for each op of a layer, and marks what is wrong without a share") {
  Judgement judgement;
  judgement.ops = {op({Probe::embed_tokens, -1}, 0),
                   op({Probe::q_proj, 0}, 0.25),
                   op({Probe::q_proj, 1}, 0.5),
                   op({Probe::q_proj, 1}, 0.125),
                   op({Probe::k_proj, 1}, 0, Verdict::untested),
                   op({Probe::v_proj, 1}, 0, Verdict::skipped)};
  const Evidence table = share_by_op(judgement);
  REQUIRE(table.picture);
  check_picture(*table.picture);
  CHECK(table.picture->rows == std::vector<std::string>{"self_attn.q_proj", "self_attn.k_proj"});
  CHECK(table.picture->columns == std::vector<std::string>{"0", "1"});
  CHECK(table.picture->values[0] == std::vector<double>{0.25, 0.5});
  CHECK(std::isnan(table.picture->values[1][0]));
  CHECK(table.picture->values[1][1] > 1);
}

TEST_CASE("error by prompt: sorted by length, with what is beyond its target") {
  const Tensor small = rows({1e-6f, 2e-6f}), large = rows({0, 0, 1, 2, 3}), two(DType::f32, {2, 2}),
               five(DType::f32, {5, 2});
  const Evidence table =
      error_by_prompt({{"large", large.view(), five.view()}, {"small", small.view(), two.view()}});
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0][0] == "small");
  CHECK(table.rows[0][4] == "–");  // two points have no correlation
  CHECK(table.rows[0].back() == "–");
  CHECK(table.rows[1].back() == "max abs, mean abs, r");
}

TEST_CASE(
    "ops to see closely: the first wrong ones, each op once and where it has most rows, else the nearest") {
  Judgement shorter, longer;
  shorter.ops = {op({Probe::q_proj, 0}, 0.3), op({Probe::scores, 1}, 5, Verdict::failed)};
  longer.ops = {op({Probe::scores, 0}, 3, Verdict::failed), op({Probe::scores, 1}, 4, Verdict::failed),
                op({Probe::inv_freq, -1}, 0.9), op({Probe::q_proj, 0}, 7, Verdict::failed),
                op({Probe::k_proj, 0}, 0, Verdict::untested)};
  for (Judgement* judgement : {&shorter, &longer}) {
    for (OpResult& each : judgement->ops) {
      each.rows = judgement == &longer ? 40 : 2;
      if (each.verdict == Verdict::failed) each.worst.index = {0};
    }
  }
  const Judgement* const both[] = {&shorter, &longer};
  std::vector<OpOfRun> chosen = ops_to_see_closely(both);
  REQUIRE(chosen.size() == 2);
  CHECK(chosen[0].op == &longer.ops[3]);
  CHECK(chosen[1].op == &longer.ops[0]);
  CHECK(chosen[1].run == 1);
  shorter.ops.pop_back();
  const Judgement* const one[] = {&shorter};
  chosen = ops_to_see_closely(one);
  REQUIRE(chosen.size() == 1);
  CHECK(chosen[0].op == shorter.ops.data());
  CHECK(ops_to_see_closely({}).empty());
}

TEST_CASE("an op seen closely: by position, head and channel, with its worst points") {
  Replay replay;
  replay.expected = Tensor(DType::f64, {3, 4});
  replay.bound = Tensor(DType::f64, {3, 4});
  for (double& bound : replay.bound.values<double>()) bound = 1;
  Tensor actual(DType::f32, {3, 4});
  actual.values<float>()[4 * 2 + 3] = 6;  // position 2, head 1, channel 1 of it
  actual.values<float>()[4 * 1 + 2] = 1;
  Tolerance tolerance;
  tolerance.rule = Rule::bound;
  tolerance.lambda = 2;
  const std::vector<Evidence> seen =
      op_seen_closely({Probe::q_proj, 3}, "chat", actual.view(), replay, tolerance, 2);
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].title == "where the local error of model.layers.3.self_attn.q_proj (chat) sits");
  REQUIRE(seen[0].rows.size() == 3);
  CHECK(seen[0].rows[0][0] == "position");
  CHECK(seen[0].rows[0][3] == "2");
  CHECK(seen[0].rows[1][0] == "head");
  CHECK(seen[0].rows[1][3] == "1");
  CHECK(seen[0].rows[1][5] == "100 %");
  CHECK(seen[0].rows[2][0] == "channel of the head");
  CHECK(seen[0].rows[2][5] == "97 %");
  REQUIRE(seen[1].rows.size() == 2);
  CHECK(seen[1].rows[0] == std::vector<std::string>{"[2, 3]", "0", "6", "6", "2", "3"});
  CHECK(op_seen_closely({Probe::q_proj, 3}, "", Tensor(DType::f32, {2, 2}).view(), replay, tolerance, 2)
            .empty());
}
