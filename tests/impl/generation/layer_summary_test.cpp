#include "impl/generation/layer_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include <catch2/catch.hpp>

#include "impl/generation/intervention.h"
#include "impl/tokenizer.h"
#include "tests/impl/generation/listening_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

// Rows of a probe in the trace's order of steps, [rows][width].
std::vector<std::vector<double>> rows_of(const Trace& trace, OpSite site) {
  std::vector<std::vector<double>> rows;
  for (const TraceStep& step : trace.steps) {
    const Tensor wide = to_f64(step.tensors.at(site).view());
    const auto width = static_cast<std::size_t>(wide.elements() / wide.shape()[0]);
    for (std::size_t at = 0; at < wide.values<double>().size(); at += width) {
      const double* row = wide.values<double>().data() + at;
      rows.emplace_back(row, row + width);
    }
  }
  return rows;
}

struct Expected {
  double mean = 0, std = 0, min = 1e300, max = -1e300, mean_norm = 0, max_norm = 0;
  std::vector<double> means, magnitudes;
};

// In two passes, as the words are defined.
Expected expected_of(const std::vector<std::vector<double>>& rows) {
  Expected made;
  const auto count = static_cast<double>(rows.size() * rows[0].size());
  made.means.assign(rows[0].size(), 0);
  made.magnitudes = made.means;
  for (const std::vector<double>& row : rows) {
    double squares = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      made.mean += row[i] / count;
      made.min = std::min(made.min, row[i]);
      made.max = std::max(made.max, row[i]);
      made.means[i] += row[i] / static_cast<double>(rows.size());
      made.magnitudes[i] += std::abs(row[i]) / static_cast<double>(rows.size());
      squares += row[i] * row[i];
    }
    made.mean_norm += std::sqrt(squares) / static_cast<double>(rows.size());
    made.max_norm = std::max(made.max_norm, std::sqrt(squares));
  }
  double squares = 0;
  for (const std::vector<double>& row : rows) {
    for (const double x : row) squares += (x - made.mean) * (x - made.mean);
  }
  made.std = std::sqrt(squares / count);
  return made;
}

void check(const LayerStatistics& actual, const Expected& expected) {
  const auto near = [](double value) { return Approx(value).epsilon(1e-9).margin(1e-12); };
  CHECK(actual.mean == near(expected.mean));
  CHECK(actual.std == near(expected.std));
  CHECK(actual.min == expected.min);
  CHECK(actual.max == expected.max);
  CHECK(actual.mean_norm == near(expected.mean_norm));
  CHECK(actual.max_norm == near(expected.max_norm));
  REQUIRE(actual.channels.size() == expected.means.size());
  for (std::size_t i = 0; i < expected.means.size(); ++i) {
    CHECK(actual.channels[i].mean == near(expected.means[i]));
    CHECK(actual.channels[i].mean_magnitude == near(expected.magnitudes[i]));
  }
  std::vector<double> sorted = expected.magnitudes;
  std::sort(sorted.rbegin(), sorted.rend());
  for (std::size_t i = 0; i < actual.top.size(); ++i) {
    CHECK(actual.top[i].mean_magnitude == near(sorted[i]));
    CHECK(actual.top[i].mean == near(expected.means[static_cast<std::size_t>(actual.top[i].channel)]));
  }
}

// One row for a summary of one probe outside the layers.
void show(LayerSummary& summary, const std::vector<float>& row) {
  const std::vector<TokenId> token{1};
  const std::vector<std::int64_t> at{0};
  const SequenceStep step{0, token, at, LogitsWanted::none};
  summary.begin({&step, 1});
  const Shape shape{1, static_cast<std::int64_t>(row.size())};
  summary.receive({{Probe::embed_tokens, -1}, 0}, TensorView(row.data(), DType::f32, shape));
  summary.receive({{Probe::norm, -1}, 0}, TensorView(row.data(), DType::f32, shape));
}

}  // namespace

TEST_CASE("layer summary: the statistics of all rows of prefill, decode and batches") {
  Listening tiny;
  const std::vector<Call> calls = ragged_calls(4);
  const Trace trace = tiny.trace(calls);
  for (const Probe probe :
       {Probe::mlp_residual, Probe::act, Probe::q_rope, Probe::embed_tokens, Probe::norm}) {
    LayerSummary summary(*tiny.engine, probe, 5);
    tiny.run_all(calls, &summary);
    CHECK(summary.tokens() == 16);
    const bool in_layers = probe_spec(probe).scope == ProbeScope::layer;
    const std::vector<LayerStatistics> layers = summary.layers();
    REQUIRE(layers.size() == (in_layers ? 5u : 1u));
    for (const LayerStatistics& each : layers) {
      INFO(site_name({probe, each.layer}));
      CHECK(each.tokens == 16);
      CHECK(each.top.size() == 5);
      CHECK(each.non_finite == 0);
      check(each, expected_of(rows_of(trace, {probe, each.layer})));
    }
    summary.clear();
    CHECK(summary.tokens() == 0);
    CHECK(summary.layers()[0].max == 0);
  }
}

TEST_CASE("layer summary: what is NaN or infinite is counted and left out") {
  Listening tiny;
  LayerSummary summary(*tiny.engine, Probe::embed_tokens, 1);
  std::vector<float> row(120, 2.0f);
  show(summary, row);
  row[3] = std::numeric_limits<float>::quiet_NaN();
  row[4] = -std::numeric_limits<float>::infinity();
  row[5] = -7;
  show(summary, row);
  const LayerStatistics all = summary.layers()[0];
  CHECK(all.tokens == 2);
  CHECK(all.non_finite == 2);
  CHECK(all.mean == Approx((2.0 * 237 - 7) / 238));
  CHECK(all.min == -7);
  CHECK(all.channels[3].mean == 2);
  CHECK(all.mean_norm == Approx(2 * std::sqrt(120.0)));
  CHECK(all.top[0].channel == 5);
  CHECK(summary.text().find("2 NaN or infinite, left out") != std::string::npos);
}

TEST_CASE("layer summary: the text takes at most 500 tokens a layer") {
  Listening tiny;
  LayerSummary summary(*tiny.engine), other(*tiny.engine);
  tiny.run_all(ragged_calls(4), &summary);
  tiny.run_all(ragged_calls(4, 77), &other);
  const auto tokenizer = load_tokenizer(tiny_model());
  for (const std::string& text : {summary.text(), text_of(compare(summary, other))}) {
    INFO(text);
    std::istringstream lines(text);
    std::string line;
    int count = 0;
    std::getline(lines, line);
    CHECK(tokenizer->encode(line).size() <= 120);
    while (std::getline(lines, line)) {
      CHECK(line.starts_with("layer " + std::to_string(count++) + ": "));
      CHECK(tokenizer->encode(line).size() <= 250);
    }
    CHECK(count == 5);
  }
  CHECK(summary.text().starts_with("mlp_residual: 16 tokens, 120 channels. "));
}

TEST_CASE("layer summary: nothing of a forward() that throws") {
  Listening tiny;
  LayerSummary summary(*tiny.engine);
  ThrowingSink throws({Probe::norm, -1});
  SinkList both;
  both.add(throws);
  both.add(summary);
  CHECK_THROWS_AS(tiny.run(ragged_calls(0)[0], &both), std::runtime_error);
  CHECK(summary.tokens() == 0);
  tiny.run(ragged_calls(0)[0], &summary);
  CHECK(summary.tokens() == 8);
  CHECK(error_of([&] { LayerSummary(*tiny.engine, Probe::probs); }).find("no row of activations") !=
        std::string::npos);
  CHECK(error_of([&] { LayerSummary(*tiny.engine, Probe::act, -1); }).find("-1 top channels") !=
        std::string::npos);
}

TEST_CASE("layer comparison: of runs and of layers") {
  Listening tiny;
  const std::vector<Call> calls = ragged_calls(2);
  LayerSummary plain(*tiny.engine), same(*tiny.engine), steered(*tiny.engine);
  tiny.run_all(calls, &plain);
  tiny.run_all(calls, &same);
  for (const LayerChange& each : compare(plain, same)) {
    CHECK(each.cosine == Approx(1).epsilon(1e-12));
    CHECK(each.norm == 0);
    CHECK(each.channels.empty());
  }

  std::vector<float> shift(120, 0.0f);
  shift[17] = 50;
  Interventions adds(*tiny.engine, {{.site = {Probe::mlp_residual, 2}, .values = shift}});
  SinkList both;
  both.add(adds);
  both.add(steered);
  tiny.run_all(calls, &both);
  const std::vector<LayerChange> changes = compare(plain, steered, 3);
  REQUIRE(changes.size() == 5);
  CHECK(changes[1].norm == 0);
  const LayerChange& at = changes[2];
  CHECK(at.layer_a == 2);
  CHECK(at.channels.size() == 1);  // no other one is changed there
  CHECK(changes[3].channels.size() == 3);
  CHECK(at.channels[0].channel == 17);
  CHECK(at.channels[0].mean_b - at.channels[0].mean_a == Approx(50).epsilon(1e-5));
  CHECK(at.norm > 0);
  CHECK(at.norm == Approx(steered.layers()[2].mean_norm / plain.layers()[2].mean_norm - 1));
  CHECK(at.cosine < 1);

  const LayerChange up = compare(plain.layers()[0], plain.layers()[4], 0);
  CHECK(up.layer_b == 4);
  CHECK(text_of({up}).find("layer 0 to 4: cosine ") != std::string::npos);
  LayerSummary wide(*tiny.engine, Probe::act);
  CHECK(error_of([&] { compare(plain, wide); }).find("compare the same probe") != std::string::npos);
  CHECK(error_of([&] { compare(plain.layers()[0], wide.layers()[0]); }).find("rows of 120 and of 328") !=
        std::string::npos);
}
