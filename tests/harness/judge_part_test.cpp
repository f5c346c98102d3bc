#include "harness/judge_part.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

namespace {

constexpr int kLayers = 3;

SuspectFit fit(const std::string& name, bool fits, double distance) {
  SuspectFit made{name, "what " + name + " means"};
  made.fits = fits;
  made.in_question = 8;
  made.explained = fits ? 1 : 0.1;
  made.overall = made.to_suspect = distance;
  made.to_right = 1;
  return made;
}

OpResult result(OpSite site, int step) {
  OpResult op;
  op.site = site;
  op.step = step;
  op.judged_as = probe_spec(site.probe).op;
  op.verdict = Verdict::passed;
  op.share = 0.1;
  op.local.relative_l2 = 1.0 / 3;
  op.local.compared = 12;
  return op;
}

bool is_wrong_site(OpSite site) {
  return site == OpSite{Probe::k_rope, 1} || site == OpSite{Probe::k_rope, 2};
}

// Layers [first, last] of a trace of two steps, in which k_rope of layers 1 and 2 is wrong.
JudgePart part_of(int first, int last) {
  JudgePart part;
  part.trace = "t.safetensors";
  part.model = "some/model";
  part.tolerances = "tolerances.yaml";
  part.trace_identity = "feed";
  part.weight_hash = "beef";
  part.tolerances_hash = "cafe";
  part.assumptions = {"the trace names no engine"};
  part.layers = kLayers;
  part.first_layer = first;
  part.last_layer = last;
  part.steps = {{0, 0}, {0, 1}};
  for (const int step : {0, 1}) {
    for (const OpSite site : forward_sites(kLayers, false)) {
      const int layer = judged_with_layer(site, kLayers);
      if (layer < first || layer > last) continue;
      OpResult op = result(site, step);
      if (is_wrong_site(site)) {
        op.verdict = Verdict::failed;
        op.share = std::numeric_limits<double>::infinity();
        op.error = std::nan("");
        op.worst.index = {1, 0, 2};
        op.first_bad_row = 1;
        op.suspects_tried = true;
        op.suspects = {fit("found by the part", true, 0.5)};
      }
      part.judgement.ops.push_back(std::move(op));
    }
  }
  return part;
}

std::vector<std::string> names_of(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back("part." + std::to_string(i));
  return names;
}

JoinedParts joined(std::vector<JudgePart> parts) {
  const std::vector<std::string> names = names_of(parts.size());
  return join_parts(std::move(parts), names);
}

std::string refusal(std::vector<JudgePart> parts) {
  try {
    joined(std::move(parts));
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("part: written and read, it is the same to the last bit") {
  JudgePart part = part_of(0, 2);
  part.judgement.ops[3].accumulated = ErrorStats{};
  part.judgement.ops[3].accumulated->rms = std::nextafter(0.1, 1);
  part.judgement.ops[3].reason = "\"quotes\"\nand lines";
  part.asked.push_back({{Probe::k_rope, 1}, 0, 1, {"a", "b"}, {fit("a", true, 1e-300)}, false, "everywhere"});
  part.closely.push_back({{Probe::k_rope, 1}, 0, 1, {{"title", {"a", "b"}, {{"1", "2"}}}}});
  const std::string text = to_json(part);
  const JudgePart back = part_from_json(text, "part.json");
  CHECK(to_json(back) == text);
  CHECK(back.judgement.ops[3].accumulated->rms == std::nextafter(0.1, 1));
  CHECK(std::isnan(back.judgement.wrong().front()->error));
  CHECK(back.asked[0].pattern == "everywhere");
  CHECK(back.closely[0].tables[0].rows[0][1] == "2");
}

TEST_CASE("identity: of every byte of a file, and of its length") {
  const TemporaryDirectory folder;
  const auto identity = [&](const std::string& bytes) {
    std::ofstream(folder.path() / "file", std::ios::binary) << bytes;
    return identity_of_file(folder.path() / "file");
  };
  // openssl mac -macopt hexkey:$(printf 'plumbline judge part' | sha256sum | cut -c1-64) -in FILE Poly1305
  CHECK(identity("abc") == "6a7f422c193f514c33f254dd55f2ccb6");
  CHECK(identity("") == "5915f65e5792cf94d797509ee8018c2f");
  const std::string bytes(700'001, '\0');  // more than is read at a time
  const std::string whole = identity(bytes);
  CHECK(identity(bytes) == whole);
  for (const std::size_t place : {0u, 262'143u, 262'144u, 524'288u, 700'000u}) {
    std::string other = bytes;
    other[place] = 1;
    INFO(place);
    CHECK(identity(other) != whole);
  }
  std::string here = bytes, there = bytes;
  here[16] = there[32] = 1;
  CHECK(identity(here) != identity(there));
  CHECK(identity(bytes + '\0') != whole);
  CHECK(identity(bytes.substr(1)) != whole);
  CHECK_THROWS_WITH(identity_of_file(folder.path() / "none"), Catch::Contains("cannot be read"));
  CHECK_THROWS_WITH(identity_of_file(folder.path()), Catch::Contains("cannot be read"));
}

TEST_CASE("part: what is none is refused in one line") {
  const std::string good = to_json(part_of(0, 1));
  const auto refused = [](const std::string& text) {
    CHECK_THROWS_WITH(part_from_json(text, "part.json"), Catch::Contains("part.json") &&
                                                             Catch::Contains("not a part") &&
                                                             !Catch::Contains("\n"));
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
  };
  refused("");
  refused("{}");
  refused(good.substr(0, good.size() / 2));
  refused(with("plumbline judge part", "plumbline report"));
  refused(with("\"version\": 2", "\"version\": 1"));
  refused(with("\"last_layer\": 1", "\"last_layer\": 3"));
  refused(with("\"first_layer\": 0", "\"first_layer\": -1"));
  refused(with("\"layers\": 3", "\"layers\": 99999999999"));
  refused(with("\"layers\": 3", "\"layers\": 2000000000"));
  refused(with("\"passed\"", "\"perfect\""));
  refused(with("\"op\": \"input_ids\"", "\"op\": \"input_odds\""));
  refused(with("\"share\": 0.1", "\"share\": \"much\""));
}

TEST_CASE("parts: joined in graph order, whatever their own") {
  const JoinedParts whole = joined({part_of(2, 2), part_of(0, 0), part_of(1, 1)});
  CHECK(whole.missing.empty());
  const JudgePart expected = part_of(0, 2);
  REQUIRE(whole.whole.judgement.ops.size() == expected.judgement.ops.size());
  for (std::size_t i = 0; i < expected.judgement.ops.size(); ++i) {
    CHECK(whole.whole.judgement.ops[i].site == expected.judgement.ops[i].site);
    CHECK(whole.whole.judgement.ops[i].step == expected.judgement.ops[i].step);
    CHECK(whole.whole.judgement.ops[i].verdict == expected.judgement.ops[i].verdict);
  }
}

TEST_CASE("parts: what comes before the layers belongs to the first, what comes after them to the last") {
  CHECK(judged_with_layer({Probe::embed_tokens, -1}, 4) == 0);
  CHECK(judged_with_layer({Probe::cos, -1}, 4) == 0);
  CHECK(judged_with_layer({Probe::norm, -1}, 4) == 3);
  CHECK(judged_with_layer({Probe::lm_head, -1}, 4) == 3);
  CHECK(judged_with_layer({Probe::past_key, 2}, 4) == 2);
  const JoinedParts first = joined({part_of(0, 0)});
  CHECK(first.whole.judgement.ops.front().verdict == Verdict::passed);
  CHECK(first.whole.judgement.ops.back().verdict == Verdict::untested);
}

TEST_CASE("parts: layers that nobody has judged are untested, and no pass") {
  const JoinedParts holes = joined({part_of(0, 0)});
  REQUIRE(holes.missing == std::vector<std::pair<int, int>>{{1, 2}});
  CHECK(ranges_text(holes.missing) == "1-2");
  CHECK(exit_status(holes.whole.judgement.counts()) == kExitFailed);
  CHECK(holes.whole.judgement.counts().total() == 2 * static_cast<int>(forward_sites(kLayers, false).size()));
  const JoinedParts middle = joined({part_of(1, 1)});
  CHECK(ranges_text(middle.missing) == "0, 2");
}

TEST_CASE("parts: of different judgements, or of one layer twice, they are refused") {
  CHECK_THAT(refusal({part_of(0, 1), part_of(1, 2)}),
             Catch::Contains("part.1") && Catch::Contains("layer 1"));
  const auto changed = [](auto change) {
    JudgePart part = part_of(1, 2);
    change(part);
    return refusal({part_of(0, 0), std::move(part)});
  };
  CHECK_THAT(changed([](JudgePart& part) { part.trace_identity = "other"; }),
             Catch::Contains("another trace"));
  CHECK_THAT(changed([](JudgePart& part) { part.steps.pop_back(); }), Catch::Contains("another trace"));
  CHECK_THAT(changed([](JudgePart& part) { part.weight_hash = "other"; }), Catch::Contains("another model"));
  CHECK_THAT(changed([](JudgePart& part) { part.layers = 4; }), Catch::Contains("another model"));
  CHECK_THAT(changed([](JudgePart& part) { part.tolerances_hash = ""; }), Catch::Contains("tolerances"));
  CHECK_THAT(changed([](JudgePart& part) { part.forced = true; }), Catch::Contains("another judgement"));
  CHECK_THAT(changed([](JudgePart& part) { part.judgement.ops.pop_back(); }), Catch::Contains("altered"));
  CHECK_THAT(changed([](JudgePart& part) { part.judgement.ops[1] = part.judgement.ops[0]; }),
             Catch::Contains("altered"));
  CHECK(changed([](JudgePart&) {}).empty());
}

TEST_CASE("parts: the whole is explained from what they asked, and what none of them did is asked anew") {
  JudgePart one = part_of(0, 1), two = part_of(2, 2);
  // In layer 1 all were tried, and two fit; in layer 2 one of these.
  std::vector<SuspectFit> list{fit("usual", true, 1e-3), fit("odd", false, 0.9), fit("rare", true, 1e-9)};
  for (std::size_t i = 0; i < list.size(); ++i) list[i].place = i;
  for (const int step : {0, 1}) {
    one.asked.push_back({{Probe::k_rope, 1}, 0, step, {}, list, false, ""});
    two.asked.push_back({{Probe::k_rope, 2}, 0, step, {"rare"}, {list[2]}, false, ""});
  }
  const JoinedParts whole = joined({one, two});
  Judgement judgement = whole.whole.judgement;
  std::vector<std::pair<OpSite, std::size_t>> asked;
  const std::string trouble =
      explain_joined(whole.whole, judgement, [&](const OpResult& op, const std::set<std::string>& names) {
        asked.emplace_back(op.site, names.size());
        return Asked{op.site, 0, op.step, names, {fit("found now", true, 1e-8)}, false, std::nullopt};
      });
  CHECK(trouble.empty());
  // In layer 2 both names that fitted in layer 1 are wanted, and its part tried one of them.
  REQUIRE(asked.size() == 2);
  CHECK(asked[0] == std::pair(OpSite{Probe::k_rope, 2}, std::size_t{2}));
  const std::vector<const OpResult*> wrong = judgement.wrong();
  REQUIRE(wrong.size() == 4);
  REQUIRE(wrong[0]->suspects.size() == 3);
  CHECK(wrong[0]->suspects[0].name == "rare");
  CHECK(wrong[1]->suspects[0].name == "found now");
  REQUIRE(wrong[2]->suspects.size() == 2);  // of the whole list, those that were wanted
  CHECK(wrong[2]->suspects[1].name == "usual");

  Judgement without = whole.whole.judgement;
  const std::string said = explain_joined(whole.whole, without, [](const OpResult&, const auto&) -> Asked {
    throw Error("no such file", "t.safetensors");
  });
  CHECK_THAT(said, Catch::Contains("no such file"));
  CHECK(without.wrong()[1]->suspects[0].name == "found by the part");
}

TEST_CASE("parts: what is seen closely of the whole is a candidate of its part") {
  Judgement judgement = part_of(0, 0).judgement;
  const auto find = [&](OpSite site, int step) {
    return std::ranges::find_if(judgement.ops,
                                [=](const OpResult& op) { return op.site == site && op.step == step; });
  };
  find({Probe::q_proj, 0}, 0)->share = 0.5;
  find({Probe::q_rope, 0}, 1)->share = 0.9;
  const auto names = [&] {
    std::set<std::string> found;
    for (const OpResult* op : candidates_to_see_closely(judgement)) found.insert(site_name(op->site));
    return found;
  };
  CHECK(names() == std::set<std::string>{"model.layers.0.self_attn.q_rope"});
  // A class that is trivial here may not be so in the whole: either may be the nearest to its gate.
  for (OpResult& op : judgement.ops) op.trivial = op.judged_as == OpClass::rope;
  CHECK(names() ==
        std::set<std::string>{"model.layers.0.self_attn.q_rope", "model.layers.0.self_attn.q_proj"});
}
