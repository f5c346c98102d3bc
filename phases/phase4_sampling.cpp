// Phase 4: does the sampler chain choose what it should? Both sides are fed the same logits and the same
// uniforms; every stage is judged by the reference's replay of the stage's own input. Streams and draws
// by themselves are in phase4_rng.cpp, the whole chain is in phase4_chain.cpp.
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "phases/support/chain.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"

namespace plumbline::phases {

void prepare() {
  load_sides(LoadTokenizers::when_asked_for);
}

namespace {

constexpr double kLargestUniform = 1.0 - 0x1p-53;

std::string kept_ids(const Tensor& stage) {
  std::string text;
  for (std::int64_t id = 0; id < stage.elements(); ++id) {
    if (std::isfinite(element_as_f64(stage.view(), id))) text += fmt::format("{} ", id);
  }
  return text;
}

LogitRow row_of(std::string name, const std::vector<float>& logits) {
  const Shape shape{static_cast<std::int64_t>(logits.size())};
  return {std::move(name), {}, 0, Tensor::from<float>(DType::f32, shape, std::span(logits))};
}

// Vocabularies of made-up rows; one of them, to be quick.
std::vector<std::int64_t> vocabularies() {
  return options().quick ? std::vector<std::int64_t>{5} : std::vector<std::int64_t>{1, 2, 5, 64, 1000};
}

// The values to try on the i-th of a model's rows: all, or, to be quick over a real vocabulary, every second,
// so that two rows share them.
template <typename Value>
std::vector<Value> values_for(std::size_t i, const std::vector<Value>& all) {
  if (!options().quick || model_rows().at(i).vocab() <= 10'000) return all;
  std::vector<Value> part;
  for (std::size_t k = i % 2; k < all.size(); k += 2) part.push_back(all[k]);
  return part;
}

std::vector<LogitRow> made_up_rows(std::int64_t vocab) {
  std::vector<LogitRow> rows;
  for (const LogitKind kind : kLogitKinds) rows.push_back(made_up_row(kind, vocab));
  return rows;
}

}  // namespace

TEST_CASE("4A.1 RNG: given the same uniforms, both sides draw the same token", "[4A.1]") {
  const std::vector<double> uniforms{0.0, 0.1, 0.25, 0.5, 0.77, 0.999, kLargestUniform};
  for (std::size_t i = 0; i < model_rows().size(); ++i) {
    for (const double u : values_for(i, uniforms)) record_chain(model_rows()[i], at_temperature(1.0), u);
  }
  for (const LogitRow& row : made_up_rows(1000)) {
    for (const double u : {0.0, 0.5, kLargestUniform}) record_chain(row, at_temperature(1.0), u);
  }
}

TEST_CASE("4A.1 RNG: a uniform on the edge between two tokens takes the later, and no token is impossible",
          "[4A.1]") {
  const float dropped = -std::numeric_limits<float>::infinity();
  // Probabilities 0, 1/4, 0, 1/2, 1/4, 0: their cumulative sums are exact.
  const float ln2 = std::log(2.0f);
  const LogitRow row =
      row_of("[0, 1/4, 0, 1/2, 1/4, 0]", {dropped, -2 * ln2, dropped, -ln2, -2 * ln2, dropped});
  const auto drawn = [&](double u) { return std::to_string(native_draw(row, at_temperature(1), u).token); };
  const std::vector<std::pair<double, const char*>> edges{
      {0.0, "1"},  {std::nextafter(0.25, 0), "1"}, {0.25, "3"},
      {0.5, "3"},  {std::nextafter(0.75, 0), "3"}, {0.75, "4"},
      {0.99, "4"}, {kLargestUniform, "4"}};
  for (const auto& [u, token] : edges) {
    record_equal("token drawn", fmt::format("{}, u {:.17g}", row.name, u), token, drawn(u));
  }
}

TEST_CASE("4A.2 temperature: scaling is exact, softmax within its bound, zero is greedy", "[4A.2]") {
  const std::vector<double> temperatures{0.0, 1e-3, 0.1, 0.7, 1.0, 1.5, 30.0, 1e3};
  for (std::size_t i = 0; i < model_rows().size(); ++i) {
    for (const double temperature : values_for(i, temperatures))
      record_chain(model_rows()[i], at_temperature(temperature), 0.5);
  }
  for (const LogitKind kind : {LogitKind::normal, LogitKind::flat, LogitKind::holes, LogitKind::ties}) {
    const LogitRow row = made_up_row(kind, 1000);
    for (const DType dtype : {DType::bf16, DType::f16}) {
      for (const double temperature : temperatures) {
        record_chain(stored_as(row, dtype), at_temperature(temperature), 0.5);
      }
    }
  }
}

TEST_CASE("4B.1 top-k: every size of k, and ties at the k-th value are kept", "[4B.1]") {
  const auto sizes = [](std::int64_t vocab) {
    const std::set<std::int64_t> all{0, 1, 3, 20, vocab / 2, vocab - 1, vocab, vocab + 5};
    return std::vector<std::int64_t>(all.begin(), all.end());
  };
  const auto at_each_k = [](const LogitRow& row, const std::vector<std::int64_t>& ks) {
    for (const std::int64_t k : ks) {
      SamplingParams params = at_temperature(1.0);
      params.top_k = k;
      record_chain(row, params, 0.5);
    }
  };
  for (std::size_t i = 0; i < model_rows().size(); ++i)
    at_each_k(model_rows()[i], values_for(i, sizes(model_rows()[i].vocab())));
  for (const std::int64_t vocab : vocabularies()) {
    for (const LogitRow& row : made_up_rows(vocab)) at_each_k(row, sizes(vocab));
  }
  SamplingParams three = at_temperature(1.0);
  three.top_k = 3;
  const LogitRow ties = row_of("[5,4,3,3,3,1]", {5, 4, 3, 3, 3, 1});
  record_equal("kept ids", "top-k 3 of [5,4,3,3,3,1]", "0 1 2 3 4 ",
               kept_ids(record_chain(ties, three, 0.5).stages.at(Probe::sample_top_k)));
}

TEST_CASE("4B.2 top-p: the kept set, its boundary and what is left to sum to 1", "[4B.2]") {
  const std::vector<double> all{0.0, 1e-6, 0.1, 0.5, 0.8, 0.9, 0.95, 0.999, 1.0};
  const auto at_each_p = [](const LogitRow& row, const std::vector<double>& ps) {
    std::optional<Tensor> fewer;
    for (const double p : ps) {
      SamplingParams params = at_temperature(1.0);
      params.top_p = p;
      Tensor kept = record_chain(row, params, 0.5).stages.at(Probe::sample_top_p);
      if (fewer) record(check_nested("a larger p keeps all that a smaller one does", row.name, *fewer, kept));
      fewer = std::move(kept);
    }
  };
  for (std::size_t i = 0; i < model_rows().size(); ++i) at_each_p(model_rows()[i], values_for(i, all));
  for (const std::int64_t vocab : vocabularies()) {
    for (const LogitRow& row : made_up_rows(vocab)) at_each_p(row, all);
  }
}

TEST_CASE("4B.2 top-p: where every probability is a power of two, the kept set is exact", "[4B.2]") {
  const auto keeps = [](const std::string& name, const std::vector<float>& logits, double p,
                        const std::string& expected) {
    SamplingParams params = at_temperature(1.0);
    params.top_p = p;
    const LogitRow row = row_of(name, logits);
    record_equal("kept ids", fmt::format("top-p {} of {}", p, name), expected,
                 kept_ids(native_draw(row, params, 0.5).stages.at(Probe::sample_top_p)));
  };
  const std::vector<float> eight(8, 0.0f);
  const double below = std::nextafter(0.5, 0), above = std::nextafter(0.5, 1);
  keeps("eight equal", eight, 0.5, "4 5 6 7 ");
  keeps("eight equal", eight, above, "3 4 5 6 7 ");
  keeps("eight equal", eight, below, "4 5 6 7 ");
  keeps("eight equal", eight, 0.0, "7 ");
  keeps("eight equal", eight, 0.125, "7 ");
  keeps("eight equal", eight, 0.875, "1 2 3 4 5 6 7 ");
  const float ln2 = std::log(2.0f);
  const std::vector<float> halves{3 * ln2, 2 * ln2, ln2, ln2};  // 1/2, 1/4, 1/8, 1/8
  keeps("[1/2, 1/4, 1/8, 1/8]", halves, 0.5, "0 ");
  keeps("[1/2, 1/4, 1/8, 1/8]", halves, 0.75, "0 1 ");
  keeps("[1/2, 1/4, 1/8, 1/8]", halves, std::nextafter(0.75, 1), "0 1 3 ");
  keeps("[1/2, 1/4, 1/8, 1/8]", halves, 0.875, "0 1 3 ");
  keeps("[1/2, 1/4, 1/8, 1/8]", halves, std::nextafter(0.875, 1), "0 1 2 3 ");
}

}  // namespace plumbline::phases
