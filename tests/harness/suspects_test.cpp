#include "harness/suspects.h"

#include <cmath>
#include <limits>
#include <new>
#include <stdexcept>

#include <catch2/catch.hpp>

#include "harness/error_pattern.h"
#include "harness/explain.h"
#include "harness/gate.h"
#include "harness/half.h"

using namespace plumbline;
using Catch::Contains;

namespace {

constexpr std::int64_t kRows = 5, kWidth = 8;

Tensor f64(std::vector<double> values) {
  return Tensor::from<double>(DType::f64, Shape{kRows, kWidth}, values);
}
Tensor f32(const std::vector<double>& values) {
  const std::vector<float> narrow(values.begin(), values.end());
  return Tensor::from<float>(DType::f32, Shape{kRows, kWidth}, narrow);
}

template <typename Formula>
std::vector<double> made(Formula formula) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < kRows * kWidth; ++i) values.push_back(formula(i));
  return values;
}

double right_at(std::int64_t i) {
  return 1.0 + std::sin(static_cast<double>(3 * i));
}

Replay with_bound(std::vector<double> expected, double bound = 1e-6) {
  Replay replay;
  replay.expected = f64(std::move(expected));
  replay.bound = f64(made([=](std::int64_t) { return bound; }));
  return replay;
}

Suspect suspect(std::string name, std::vector<double> values) {
  return {std::move(name), "", [values] { return std::optional<Replay>(with_bound(values)); }};
}

const Tolerance kBound{Rule::bound, 2.0, std::nullopt, std::nullopt, std::nullopt, ""};

std::vector<SuspectFit> rank(const std::vector<double>& actual, const std::vector<Suspect>& suspects) {
  return rank_suspects(f32(actual).view(), with_bound(made(right_at)), suspects, kBound, OpClass::linear, 0);
}

std::vector<SuspectFit> rank_general(const std::vector<double>& values, double bound = 1e-6) {
  const Tensor actual = f32(values);
  const Replay right = with_bound(made(right_at), bound);
  return rank_suspects(actual.view(), right, general_suspects(actual.view(), right, kBound, OpClass::linear),
                       kBound, OpClass::linear, 0);
}

std::vector<double> twice() {
  return made([](std::int64_t i) { return 2 * right_at(i); });
}
std::vector<double> plus_one() {
  return made([](std::int64_t i) { return right_at(i) + 1; });
}

OpResult explained(OpSite site, std::vector<SuspectFit> suspects) {
  OpResult op;
  op.site = site;
  op.judged_as = probe_spec(site.probe).op;
  op.verdict = Verdict::failed;
  op.reason = "beyond its bound";
  op.error = 3e-2;
  op.gate = 1e-6;
  op.share = 3e4;
  op.worst.index = {0, 0};
  op.suspects_tried = true;
  op.suspects = std::move(suspects);
  return op;
}

// embed_tokens is data, model.norm twice it.
class Doubling final : public Replayer {
 public:
  const ModelConfig& config() const override { return config_; }
  const std::string& weight_hash() const override { return hash_; }
  std::span<const OpSite> sites() const override { return sites_; }
  std::optional<Replay> replay(OpSite site, const RecordedStep& step, DType, std::string&) const override {
    const TensorView& x = *step.find(sites_[0]);
    const double factor = site.probe == Probe::norm ? 2 : 1;
    return with_bound(made([&](std::int64_t i) { return factor * element_as_f64(x, i); }));
  }
  OpClass judged_as(OpSite site, const RecordedStep&) const override { return probe_spec(site.probe).op; }
  std::vector<Suspect> suspects(OpSite, const RecordedStep&, DType) const override {
    if (out_of_memory) throw std::bad_alloc();
    return {};
  }
  bool out_of_memory = false;

 private:
  ModelConfig config_;
  std::string hash_;
  std::vector<OpSite> sites_{{Probe::embed_tokens, -1}, {Probe::norm, -1}};
};

}  // namespace

TEST_CASE("suspects: one fits within the op's own bound, and not by being nearer than the right answer") {
  const std::vector<double> near = made([](std::int64_t i) { return 2 * right_at(i) + 1e-3; });
  const auto ranked = rank(twice(), {suspect("near", near), suspect("twice", twice())});
  REQUIRE(ranked.size() == 2);
  CHECK(ranked[0].name == "twice");
  CHECK(ranked[0].fits);
  CHECK(ranked[0].explained == 1.0);
  CHECK_FALSE(ranked[1].fits);
  CHECK(ranked[1].to_suspect < 0.01 * ranked[1].to_right);
  CHECK(verdict_of(ranked) == "twice");
  CHECK(verdict_of(rank(twice(), {suspect("near", near)})) == "none fits");
  CHECK(verdict_of({}).empty());
}

TEST_CASE("suspects: what it says beside the point counts as well") {
  // The subject is wrong in one row. A suspect that is right there, and wrong elsewhere, is not it.
  const auto one_row = made([](std::int64_t i) { return (i < kWidth ? 2 : 1) * right_at(i); });
  const auto ranked = rank(one_row, {suspect("all rows", twice()), suspect("first row", one_row)});
  CHECK(ranked[0].name == "first row");
  CHECK(ranked[0].in_question <= kWidth);
  CHECK_FALSE(ranked[1].fits);
  // Not even where that makes little of the distance.
  const auto most_rows = made([](std::int64_t i) { return (i < 32 ? 2 : 1) * right_at(i); });
  const auto and_more = made([](std::int64_t i) { return (i < 32 ? 2 : 1.0001) * right_at(i); });
  CHECK(verdict_of(rank(most_rows, {suspect("and more", and_more)})) == "none fits");
}

TEST_CASE("suspects: two that give the same are named together, the more usual first") {
  const auto ranked =
      rank(twice(), {suspect("other", plus_one()), suspect("usual", twice()), suspect("rare", twice())});
  CHECK(verdict_of(ranked) == "usual or rare");
  CHECK(ranked[1].tied);
  CHECK_FALSE(ranked[2].tied);
  CHECK_FALSE(ranked[2].fits);
}

TEST_CASE("suspects: a known mistake comes before numbers fitted to the output") {
  Suspect fitted = suspect("fitted", twice());
  fitted.fitted = true;
  CHECK(verdict_of(rank(twice(), {fitted, suspect("known", twice())})) == "known");
  CHECK(verdict_of(rank(twice(), {fitted})) == "none fits; its shape: fitted");
}

TEST_CASE("suspects: NaN fits NaN alone, and another shape is not tried") {
  auto broken = twice();
  broken[3] = std::numeric_limits<double>::quiet_NaN();
  CHECK(verdict_of(rank(broken, {suspect("twice", twice())})) == "none fits");
  CHECK(verdict_of(rank(broken, {suspect("broken", broken)})) == "broken");
  Suspect other{"other", "", [] {
                  Replay replay;
                  replay.expected = Tensor(DType::f64, Shape{kRows, kWidth + 1});
                  return std::optional<Replay>(std::move(replay));
                }};
  CHECK(rank(twice(), {other}).empty());
  CHECK(rank(twice(), {{"absent", "", [] { return std::optional<Replay>(); }}}).empty());
}

TEST_CASE("suspects: one that throws is told, and the others are ranked all the same") {
  const Suspect broken{"broken", "what it means", []() -> std::optional<Replay> {
                         throw std::runtime_error("tables differ\nat some line");
                       }};
  const Suspect large{"too large", "", []() -> std::optional<Replay> { throw std::bad_alloc(); }};
  const auto ranked = rank(twice(), {broken, large, suspect("twice", twice())});
  REQUIRE(ranked.size() == 3);
  CHECK(verdict_of(ranked) == "twice");
  CHECK(ranked[0].trouble.empty());
  CHECK(ranked[1].trouble == "could not be computed: tables differ");
  CHECK_THAT(ranked[2].trouble, Contains("could not be computed: ") && Contains("bad_alloc"));
  CHECK_FALSE(ranked[1].fits);
  CHECK(verdict_of(rank(twice(), {broken})) == "none fits");
  Judgement judgement;
  judgement.ops = {explained({Probe::norm, -1}, ranked)};
  const Evidence table = suspects_of_wrong_ops(judgement);
  REQUIRE(table.rows.size() == 3);
  CHECK(table.rows[0][1] == "twice");
  CHECK(table.rows[1][1] == "broken");
  CHECK(table.rows[1][2] == "could not be computed: tables differ");
  CHECK(table.rows[1][6] == "what it means");
  CHECK(table.rows[2][1] == "too large");
}

namespace {

// One row of bf16: 1 + 2^-8 is the tie between 1 and kNext, and right answers lie just below it.
constexpr double kTie = 1.0 + 0x1p-8, kBelowTie = kTie - 1e-7, kNext = 1.0 + 0x1p-7;

Tensor row_of(const std::vector<double>& values) {
  return Tensor::from<double>(DType::f64, Shape{1, static_cast<std::int64_t>(values.size())}, values);
}
Tensor bf16(const std::vector<double>& values) {
  Tensor tensor(DType::bf16, Shape{1, static_cast<std::int64_t>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) {
    tensor.values<std::uint16_t>()[i] = f32_to_bf16(static_cast<float>(values[i]));
  }
  return tensor;
}
Replay row_answer(const std::vector<double>& values) {
  Replay replay;
  replay.expected = row_of(values);
  replay.bound = row_of(std::vector<double>(values.size(), 1e-6));
  return replay;
}
// A norm in bf16: at most 5 % of its elements may differ from the emulated output, where there is one.
SuspectFit tried_on_norm(const std::vector<double>& actual, const Replay& right,
                         const std::vector<double>& mistake, bool as_stored = false) {
  Tolerance tolerance = kBound;
  tolerance.largest_differing = 0.05;
  const Suspect one{"mistake", "", [=] {
                      Replay made = row_answer(mistake);
                      if (as_stored) made.emulated = row_of(mistake);
                      return std::optional<Replay>(std::move(made));
                    }};
  const auto ranked = rank_suspects(bf16(actual).view(), right, {one}, tolerance, OpClass::rms_norm, 0);
  REQUIRE(ranked.size() == 1);
  return ranked[0];
}

}  // namespace

TEST_CASE("suspects in half types: one that leaves no gate is not told from the right answer") {
  // The subject's f32 fell to the other side of a tie, as the mistake would: within the bound of either.
  std::vector<double> right(40, 1.0), actual = right, mistake = right;
  right[7] = kBelowTie;
  actual[7] = kNext;
  mistake[7] = kTie + 1e-7;
  const SuspectFit same = tried_on_norm(actual, row_answer(right), mistake);
  CHECK(same.to_suspect == 0);
  CHECK(same.to_right > 0);
  CHECK(same.in_question == 0);
  CHECK_FALSE(same.alike);
  CHECK_FALSE(same.fits);
  // With a mistake that leaves its gate there, that element is in question. It still does not fit: the right
  // answer accounts for the subject as well.
  mistake[7] = kNext + 1e-4;
  const SuspectFit other = tried_on_norm(actual, row_answer(right), mistake);
  CHECK(other.in_question == 1);
  CHECK(other.alike);
  CHECK_FALSE(other.fits);
  // One element that only the mistake accounts for, and it does.
  actual[9] = mistake[9] = 1.5;
  CHECK(tried_on_norm(actual, row_answer(right), mistake).fits);
}

TEST_CASE("suspects in half types: the whole is in question where more elements differ than may") {
  // Rounded in another place, which only the share of differing elements tells: no element leaves its gate.
  const auto every = [](std::size_t step, std::size_t size, bool emulated) {
    Replay right = row_answer(std::vector<double>(size, kBelowTie));
    right.roundings = row_of(std::vector<double>(size, 0x1p-8));
    if (emulated) right.emulated = row_of(std::vector<double>(size, 1.0));
    std::vector<double> actual(size, 1.0);
    for (std::size_t i = 0; i < size; i += step) actual[i] = kNext;
    return tried_on_norm(actual, right, actual, true);
  };
  const SuspectFit quarter = every(4, 480, true);
  CHECK(quarter.fits);
  CHECK(quarter.in_question == 480);
  for (const SuspectFit& none : {every(25, 480, true), every(4, 479, true), every(4, 480, false)}) {
    CHECK(none.to_suspect == 0);
    CHECK(none.in_question == 0);
    CHECK_FALSE(none.alike);
    CHECK_FALSE(none.fits);
  }
}

TEST_CASE("suspects: a slope is in question where no element is wrong, wherever the suspect speaks") {
  Tolerance tolerance = kBound;
  tolerance.largest_slope = 2;
  // All within their gates and too large alike, but for the first element.
  const auto scaled = made([](std::int64_t i) { return right_at(i) * (1 + 5e-7); });
  const auto tried = [&](double first) {
    auto actual = scaled;
    actual[0] = first;
    const Suspect silent{"scaled", "", [=] {
                           Replay made_so = with_bound(scaled);
                           made_so.allowed = Tensor(DType::boolean, Shape{kRows, kWidth});
                           for (auto& flag : made_so.allowed.values<std::uint8_t>()) flag = 1;
                           made_so.allowed.values<std::uint8_t>()[0] = 0;
                           return std::optional<Replay>(std::move(made_so));
                         }};
    return rank_suspects(f32(actual).view(), with_bound(made(right_at)), {silent}, tolerance, OpClass::linear,
                         0);
  };
  CHECK(verdict_of(tried(scaled[0])) == "scaled");
  // The first is what failed, and of it the suspect says nothing.
  CHECK(verdict_of(tried(2.0)) == "none fits");
}

TEST_CASE("suspects of any op: rows and keys at the end") {
  const auto copied = [](std::int64_t last) {
    return made([=](std::int64_t i) { return right_at(std::min(i / kWidth, last) * kWidth + i % kWidth); });
  };
  CHECK(verdict_of(rank_general(copied(3))) == "last row repeats the one before");
  CHECK(verdict_of(rank_general(copied(1))) == "last 3 rows repeat the one before");
  CHECK(verdict_of(rank_general(copied(0))) == "first row in every place");
  // Scores of which the last two keys were not computed; the mask forbids the others' last key anyway.
  const Tensor actual = f32(made([](std::int64_t i) { return i % kWidth < 6 ? right_at(i) : 0; }));
  Replay right = with_bound(made(right_at));
  right.allowed = Tensor(DType::boolean, Shape{kRows, kWidth});
  for (std::int64_t i = 0; i < kRows * kWidth; ++i) {
    right.allowed.values<std::uint8_t>()[static_cast<std::size_t>(i)] = i % kWidth < 7 ? 1 : 0;
  }
  const TensorView shown = actual.view();  // the suspects read it
  const auto scores = general_suspects(shown, right, kBound, OpClass::scores);
  CHECK(verdict_of(rank_suspects(shown, right, scores, kBound, OpClass::scores, 0)) ==
        "last 2 keys left at zero");
}

TEST_CASE("gates: lambda B and half a spacing, at most the row's ceiling; without a bound 0") {
  const Tensor expected = f64(made([](std::int64_t i) { return i < kWidth ? 0.5 : 100.0; }));
  const std::vector<double> bound(kRows * kWidth, 0.25);
  Tolerance tolerance{Rule::bound, 2.0, std::nullopt, std::nullopt, std::nullopt, ""};
  CHECK(Gates(expected.view(), bound, {}, tolerance, DType::f32).at(0, 0.5) == 0.5);
  CHECK(Gates(expected.view(), bound, {}, tolerance, DType::bf16).at(9, 100.0) == 0.5 + 0.25);
  CHECK(Gates(expected.view(), {}, {}, tolerance, DType::bf16).at(9, 100.0) == 0);
  tolerance.ceiling = 1e-3;
  CHECK(Gates(expected.view(), bound, {}, tolerance, DType::f32).at(0, 0.5) == 1e-3);  // 1 is the least scale
  CHECK(Gates(expected.view(), bound, {}, tolerance, DType::f32).at(9, 100.0) == Approx(0.1));
  CHECK(Gates(expected.view(), bound, {}, Tolerance{}, DType::f32).at(0, 0.5) == 0.25);
}

TEST_CASE("suspects of any op: factors and constants by line") {
  CHECK(rank_general(made([](std::int64_t i) { return 1.25 * right_at(i); }))[0].name ==
        "constant factor 1.25");
  const auto by_row =
      made([](std::int64_t i) { return right_at(i) * (1 + 0.1 * static_cast<double>(i / kWidth)); });
  CHECK(rank_general(by_row)[0].name == "each row times a factor of its own");
  const auto by_channel =
      made([](std::int64_t i) { return right_at(i) * (1 + 0.1 * static_cast<double>(i % kWidth)); });
  CHECK(rank_general(by_channel)[0].name == "each channel times a factor of its own");
  const auto shifted =
      made([](std::int64_t i) { return right_at(i) + 0.1 * static_cast<double>(i % kWidth); });
  CHECK(rank_general(shifted)[0].name == "each channel off by a constant of its own");
  for (const auto& values : {by_row, by_channel, shifted}) CHECK(rank_general(values)[0].fitted);
  const auto noise =
      made([](std::int64_t i) { return right_at(i) + 0.1 * std::sin(static_cast<double>(i * i)); });
  CHECK_FALSE(rank_general(noise)[0].fits);
}

TEST_CASE("headline: names what fits, and says so when nothing does") {
  Judgement judgement;
  const OpSite site{Probe::k_rope, 2};
  judgement.ops = {explained(site, rank(twice(), {suspect("rotary pairs interleaved", twice())}))};
  CHECK_THAT(headline(judgement),
             Contains("first wrong op: model.layers.2.self_attn.k_rope, local error 3.0e-02"));
  CHECK_THAT(headline(judgement), Contains("; matches *rotary pairs interleaved* to "));
  judgement.ops = {explained(site, rank(plus_one(), {suspect("rotary pairs interleaved", twice())}))};
  judgement.ops[0].pattern = "every head";
  CHECK_THAT(headline(judgement), Contains("; no known mistake fits (every head)"));
  judgement.ops = {explained(site, rank(twice(), {suspect("a", twice()), suspect("b", twice())}))};
  CHECK_THAT(headline(judgement), Contains("matches *a* or *b* to "));
  judgement.ops[0].suspects_tried = false;
  judgement.ops[0].suspects.clear();
  CHECK_THAT(headline(judgement), !Contains("mistake") && !Contains("matches"));
}

TEST_CASE("suspects of wrong ops: one entry where the same fits in all layers, and each finding once") {
  const auto fits = rank(twice(), {suspect("kv heads tiled", twice())});
  const auto none = rank(plus_one(), {suspect("kv heads tiled", twice())});
  Judgement judgement;
  for (int layer = 0; layer < 3; ++layer) judgement.ops.push_back(explained({Probe::scores, layer}, fits));
  judgement.ops.push_back(explained({Probe::context, 1}, none));
  judgement.ops.back().pattern = "every head";
  judgement.ops.push_back(explained({Probe::context, 2}, {}));
  judgement.ops.back().suspects_tried = false;
  std::set<std::string> shown;
  const Evidence table = suspects_of_wrong_ops(judgement, &shown);
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0][0] == "model.layers.0.self_attn.scores and in 2 other layers");
  CHECK(table.rows[0][1] == "kv heads tiled");
  CHECK(table.rows[0][2] == "fits");
  CHECK(table.rows[1][0] == "model.layers.1.self_attn.context; 1 more wrong, not tried");
  CHECK(table.rows[1][1] == "none fits of 1 known");
  CHECK(table.rows[1][6] == "every head");
  CHECK(suspects_of_wrong_ops(judgement, &shown).rows.empty());
}

TEST_CASE("error pattern: where an op is wrong, and which input tells") {
  Trace trace;
  trace.steps.resize(1);
  auto& tensors = trace.steps[0].tensors;
  const OpSite act{Probe::act, 0}, gate{Probe::gate_proj, 0}, query{Probe::q_proj, 0};
  const auto gates = made([](std::int64_t i) { return static_cast<double>(i % kWidth); });
  tensors[gate] = f32(gates);
  tensors[act] = f32(made([&](std::int64_t i) { return right_at(i) + (i % kWidth >= 6 ? 1 : 0); }));
  tensors[query] = f32(made([&](std::int64_t i) { return right_at(i) + (i == 19 ? 1 : 0); }));
  const TraceStepView step(trace, 0);
  const Replay right = with_bound(made(right_at));
  const auto pattern = [&](OpSite site) {
    return error_pattern(site, step, right, beyond_gate(*step.find(site), right, kBound, OpClass::linear, 0),
                         4);
  };
  CHECK(pattern(act) ==
        "10 of 40 elements are wrong: every position, channels 6–7 of 0–7; 100 % of them are too large in "
        "size; wrong "
        "exactly where mlp.gate_proj is 6 and more (right up to 5)");
  CHECK_THAT(pattern(query),
             Contains("1 of 40 elements are wrong: position 2 alone of 0–4, head 0 alone of 0–1, "
                      "channel 3 alone of 0–3"));
  tensors[query] = f32(made(right_at));
  CHECK(error_pattern(query, TraceStepView(trace, 0), right, std::vector<bool>(40, false), 4).empty());
}

TEST_CASE("error split: what an op did itself, and what it was handed") {
  const auto run = [](double embedding_off, double norm_off) {
    Trace trace;
    trace.steps.resize(1);
    trace.steps[0].tensors[{Probe::embed_tokens, -1}] =
        f32(made([=](std::int64_t i) { return right_at(i) * (1 + embedding_off); }));
    trace.steps[0].tensors[{Probe::norm, -1}] =
        f32(made([=](std::int64_t i) { return 2 * right_at(i) * (1 + embedding_off) * (1 + norm_off); }));
    return trace;
  };
  const Evidence split = error_split(run(0.01, 0.001), run(0, 0), Doubling());
  REQUIRE(split.rows.size() == 2);
  CHECK(split.rows[1][0] == "model.norm");
  CHECK(split.rows[1][2] == "1.0e-03");
  CHECK(split.rows[1][3] == "1.0e-02");
  CHECK(split.rows[1][4] == "1.1e-02");
}

TEST_CASE("explainer: a right run is not asked, and a wrong op without known mistakes is none") {
  Trace trace;
  trace.steps.resize(1);
  trace.steps[0].tensors[{Probe::embed_tokens, -1}] = f32(made(right_at));
  trace.steps[0].tensors[{Probe::norm, -1}] = f32(plus_one());
  const Tolerances tolerances =
      Tolerances::load(std::string(PLUMBLINE_SOURCE_DIR) + "/fixtures/tolerances.yaml");
  Judgement judgement;
  judgement.ops = {explained({Probe::norm, -1}, {})};
  judgement.ops[0].suspects_tried = false;
  judgement.ops[0].verdict = Verdict::passed;
  const Doubling replayer;
  Explainer(replayer, tolerances).explain(trace, judgement);
  CHECK_FALSE(judgement.ops[0].suspects_tried);
  judgement.ops[0].verdict = Verdict::failed;
  Explainer(replayer, tolerances).explain(trace, judgement);
  CHECK(judgement.ops[0].suspects_tried);
  CHECK_THAT(verdict_of(judgement.ops[0].suspects), Catch::StartsWith("none fits"));
  CHECK_THAT(judgement.ops[0].pattern, Contains("elements are wrong"));
  // A list that cannot be made stops neither the other list nor the explanation.
  Doubling poor;
  poor.out_of_memory = true;
  judgement.ops[0].pattern.clear();
  Explainer(poor, tolerances).explain(trace, judgement);
  CHECK(judgement.ops[0].suspects.size() > 1);
  CHECK(judgement.ops[0].suspects.back().name == "suspects of this op");
  CHECK_THAT(judgement.ops[0].suspects.back().trouble, Contains("could not be computed: "));
  CHECK_THAT(judgement.ops[0].pattern, Contains("elements are wrong"));
}
