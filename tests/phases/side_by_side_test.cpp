// The table of two judgements side by side.
#include "phases/support/side_by_side.h"

#include <catch2/catch.hpp>

using namespace plumbline;

namespace {

OpResult linear(Probe probe, double share, Verdict verdict) {
  OpResult op;
  op.site = {probe, 0};
  op.judged_as = OpClass::linear;
  op.share = share;
  op.verdict = verdict;
  return op;
}

}  // namespace

TEST_CASE("side by side: the largest share of each side, where, and what the other has wrong") {
  const Judgement ours{
      {linear(Probe::q_proj, 0.25, Verdict::passed), linear(Probe::k_proj, 0.5, Verdict::passed)}};
  const Judgement other{{linear(Probe::q_proj, 3.0, Verdict::failed),
                         linear(Probe::k_proj, 0.5, Verdict::passed),
                         linear(Probe::v_proj, 0.0, Verdict::skipped)}};
  const Evidence table = phases::shares_side_by_side(ours, other, "another");
  REQUIRE(table.rows.size() == 1);
  CHECK(table.rows[0] == std::vector<std::string>{"linear", "3", "0.500", "model.layers.0.self_attn.k_proj",
                                                  "3.000", "model.layers.0.self_attn.q_proj", "1"});
}
