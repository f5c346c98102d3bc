// Phase 4: does the sampler chain choose what it should? Both sides are fed the same logits and the same
// uniforms; every stage is judged by the reference's replay of the stage's own input. The whole chain is in
// phase4_chain.cpp.
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "impl/rng.h"
#include "impl/sampler.h"
#include "phases/support/chain.h"
#include "phases/support/sides.h"
#include "phases/support/stream_tests.h"
#include "phases/support/suite.h"
#include "reference/sampler.h"

namespace plumbline::phases {

void prepare() {
  load_sides(LoadTokenizers::when_asked_for);
}

namespace {

constexpr double kLargestUniform = 1.0 - 0x1p-53;

// Draws of a test: enough for a power near 1, or, to be quick, what every test has at least.
std::int64_t draws_of(std::int64_t thorough) {
  return options().quick ? 1'000'000 : thorough;
}
constexpr std::int64_t kManyDraws = 20'000'000;
// Of pairs of the sampler's own draws: what they could show is a stream that ignores row or step.
constexpr std::int64_t kPairs = 2'000'000;

const std::vector<double> kUneven{0.4, 0.25, 0.125, 0.1, 0.0625, 0.0375, 0.025};

SamplingParams at_temperature(double temperature) {
  SamplingParams params;
  params.temperature = temperature;
  return params;
}

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

std::vector<LogitRow> made_up_rows(std::int64_t vocab) {
  std::vector<LogitRow> rows;
  for (const LogitKind kind : kLogitKinds) rows.push_back(made_up_row(kind, vocab));
  return rows;
}

// Draws of the native sampler from its own stream: row and step of draw i by `place`.
using Place = std::function<std::pair<std::uint64_t, std::uint64_t>(std::int64_t)>;
class OwnStream {
 public:
  OwnStream(std::uint64_t seed, const std::vector<double>& probabilities)
      : sampler_(native::make_sampler(seed)), params_(at_temperature(1)) {
    for (const double p : probabilities) logits_.push_back(static_cast<float>(std::log(p)));
  }
  std::size_t draw(std::uint64_t row, std::uint64_t step) {
    SamplingStep given{{logits_.data(), DType::f32, {static_cast<std::int64_t>(logits_.size())}}, {}};
    given.row = row;
    given.step = step;
    return static_cast<std::size_t>(sampler_->sample(given, params_, nothing_));
  }

 private:
  std::unique_ptr<Sampler> sampler_;
  SamplingParams params_;
  std::vector<float> logits_;
  NullSink nothing_;
};

std::size_t part_of(double uniform, std::size_t parts) {
  return static_cast<std::size_t>(uniform * static_cast<double>(parts));
}

StreamTest uniforms_in_bins() {
  return count_bins(
      "native uniforms in 16 equal bins", "seed 1, row 0", equal_bins(16), draws_of(kManyDraws), [] {
        return
            [](std::int64_t i) { return part_of(native::uniform(1, 0, static_cast<std::uint64_t>(i)), 16); };
      });
}

StreamTest low_bits_of_uniforms() {
  return count_bins("the lowest 4 of their 53 bits", "seed 2, row 0", equal_bins(16), draws_of(kManyDraws),
                    [] {
                      return [](std::int64_t i) {
                        const double u = native::uniform(2, 0, static_cast<std::uint64_t>(i));
                        return static_cast<std::size_t>(static_cast<std::uint64_t>(u * 0x1p53) & 15);
                      };
                    });
}

// Which of four quarters two uniforms lie in.
StreamTest pairs_of_uniforms(std::string what, std::string subject,
                             std::function<std::pair<double, double>(std::uint64_t)> pair) {
  return count_bins(std::move(what), std::move(subject), equal_bins(16), draws_of(kManyDraws), [pair] {
    return [pair](std::int64_t i) {
      const auto [first, second] = pair(static_cast<std::uint64_t>(i));
      return part_of(first, 4) * 4 + part_of(second, 4);
    };
  });
}

StreamTest native_draws() {
  return count_bins(
      "native sampler's own draws from 7 tokens", "seed 3, row 0", kUneven, draws_of(kManyDraws), [] {
        auto stream = std::make_shared<OwnStream>(3, kUneven);
        return [stream](std::int64_t i) { return stream->draw(0, static_cast<std::uint64_t>(i)); };
      });
}

// Two draws each from four equal tokens: all 16 pairs are as likely.
StreamTest pairs_of_draws(std::string what, std::string subject, std::uint64_t other_row,
                          std::uint64_t steps_each) {
  return count_bins(std::move(what), std::move(subject), equal_bins(16), draws_of(kPairs), [=] {
    auto stream = std::make_shared<OwnStream>(4, equal_bins(4));
    return [=](std::int64_t i) {
      const std::uint64_t step = static_cast<std::uint64_t>(i) * steps_each;
      return stream->draw(0, step) * 4 + stream->draw(other_row, step + steps_each - 1);
    };
  });
}

StreamTest torch_draws() {
  constexpr std::int64_t kAtOnce = 1'000'000;
  StreamTest test{"LibTorch's multinomial from the same 7 tokens", "seeds 5, 6, …", kUneven, {}};
  test.counts.assign(kUneven.size(), 0);
  const std::vector<float> probabilities(kUneven.begin(), kUneven.end());
  for (std::int64_t i = 0; i < draws_of(kManyDraws) / kAtOnce; ++i) {
    const auto seed = static_cast<std::uint64_t>(5 + i);
    for (const TokenId token : reference::multinomial(probabilities, kAtOnce, seed)) {
      ++test.counts.at(static_cast<std::size_t>(token));
    }
  }
  return test;
}

}  // namespace

TEST_CASE("4A.1 RNG: the same seed gives the same stream, another seed, row or step another", "[4A.1]") {
  const auto stream = [](std::uint64_t seed, std::uint64_t row) {
    std::string text;
    for (std::uint64_t step = 0; step < 32; ++step)
      text += fmt::format("{} ", native::uniform(seed, row, step));
    return text;
  };
  record_equal("native stream, drawn twice", "seed 7", stream(7, 0), stream(7, 0));
  record_equal("another seed gives the same stream", "seeds 7 and 8", "false",
               stream(7, 0) == stream(8, 0) ? "true" : "false");
  record_equal("another row gives the same stream", "rows 0 and 1", "false",
               stream(7, 0) == stream(7, 1) ? "true" : "false");
  native::UniformStream begun{7, 3, 0};
  for (int i = 0; i < 5; ++i) begun.next();
  native::UniformStream restored = native::UniformStream::restore(begun.save());
  record_equal("a stream saved after 5 draws and restored", begun.save(), fmt::format("{}", begun.next()),
               fmt::format("{}", restored.next()));

  const std::vector<float> flat(64, 1.0f / 64);
  const auto torch_draws = [&](std::uint64_t seed) {
    return fmt::format("{}", fmt::join(reference::multinomial(flat, 64, seed), " "));
  };
  record_equal("LibTorch's draws, drawn twice", "seed 7", torch_draws(7), torch_draws(7));
  record_equal("another seed gives the same draws", "LibTorch, seeds 7 and 8", "false",
               torch_draws(7) == torch_draws(8) ? "true" : "false");
  const auto drawn_by = [](Sampler& sampler) {
    std::string text;
    NullSink nothing;
    const LogitRow row = made_up_row(LogitKind::equal, 64);
    for (std::uint64_t step = 0; step < 64; ++step) {
      SamplingStep given{row.logits.view(), {}};
      given.step = step;
      text += fmt::format("{} ", sampler.sample(given, at_temperature(1), nothing));
    }
    return text;
  };
  record_equal(
      "the two sides' own streams are the same", "seed 7", "false",
      drawn_by(*native::make_sampler(7)) == drawn_by(*reference::make_sampler(7)) ? "true" : "false");
  add_assumption(
      "the two sides' own streams differ, and should: Philox by seed, row and step on one, LibTorch's "
      "Mersenne "
      "twister and multinomial on the other. Parity of draws is asked with one stream of uniforms injected "
      "into "
      "both.");
}

TEST_CASE("4A.1 RNG: each side's own draws follow the probabilities, and are independent", "[4A.1]") {
  const auto at = [](std::uint64_t seed, std::uint64_t row, std::uint64_t step) {
    return native::uniform(seed, row, step);
  };
  record_family({
      uniforms_in_bins(),
      low_bits_of_uniforms(),
      pairs_of_uniforms("uniforms of neighbouring steps, pairs in 4 x 4 bins", "seed 1, row 1",
                        [&](std::uint64_t i) { return std::pair(at(1, 1, 2 * i), at(1, 1, 2 * i + 1)); }),
      pairs_of_uniforms("uniforms of two rows, pairs in 4 x 4 bins", "seed 1, rows 2 and 3",
                        [&](std::uint64_t i) { return std::pair(at(1, 2, i), at(1, 3, i)); }),
      pairs_of_uniforms("uniforms of two seeds, pairs in 4 x 4 bins", "seeds 1 and 2, row 4",
                        [&](std::uint64_t i) { return std::pair(at(1, 4, i), at(2, 4, i)); }),
      native_draws(),
      pairs_of_draws("sampler's draws of two rows, pairs of 4 tokens", "seed 4, rows 0 and 1", 1, 1),
      pairs_of_draws("sampler's draws of neighbouring steps, pairs of 4 tokens", "seed 4, row 0", 0, 2),
      torch_draws(),
  });
}

TEST_CASE("4A.1 RNG: uniforms lie in [0, 1) and do not repeat", "[4A.1]") {
  constexpr int kDraws = 100000;
  std::set<double> seen;
  bool inside = true;
  for (std::uint64_t step = 0; step < kDraws; ++step) {
    const double u = native::uniform(1, 0, step);
    inside = inside && u >= 0 && u < 1;
    seen.insert(u);
  }
  record_equal("all in [0, 1)", "100,000 draws, seed 1", "true", inside ? "true" : "false");
  record_equal("distinct values", "100,000 draws, seed 1", std::to_string(kDraws),
               std::to_string(seen.size()));
}

TEST_CASE("4A.1 RNG: given the same uniforms, both sides draw the same token", "[4A.1]") {
  for (const LogitRow& row : model_rows()) {
    for (const double u : {0.0, 0.1, 0.25, 0.5, 0.77, 0.999, kLargestUniform}) {
      record_chain(row, at_temperature(1.0), u);
    }
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
  for (const LogitRow& row : model_rows()) {
    for (const double temperature : temperatures) record_chain(row, at_temperature(temperature), 0.5);
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
  const auto at_each_k = [](const LogitRow& row) {
    const std::int64_t vocab = row.vocab();
    for (const std::int64_t k : std::set<std::int64_t>{0, 1, 3, 20, vocab / 2, vocab - 1, vocab, vocab + 5}) {
      SamplingParams params = at_temperature(1.0);
      params.top_k = k;
      record_chain(row, params, 0.5);
    }
  };
  for (const LogitRow& row : model_rows()) at_each_k(row);
  for (const std::int64_t vocab : vocabularies()) {
    for (const LogitRow& row : made_up_rows(vocab)) at_each_k(row);
  }
  SamplingParams three = at_temperature(1.0);
  three.top_k = 3;
  const LogitRow ties = row_of("[5,4,3,3,3,1]", {5, 4, 3, 3, 3, 1});
  record_chain(ties, three, 0.5);
  record_equal("kept ids", "top-k 3 of [5,4,3,3,3,1]", "0 1 2 3 4 ",
               kept_ids(native_draw(ties, three, 0.5).stages.at(Probe::sample_top_k)));
}

TEST_CASE("4B.2 top-p: the kept set, its boundary and what is left to sum to 1", "[4B.2]") {
  const std::vector<double> ps{0.0, 1e-6, 0.1, 0.5, 0.8, 0.9, 0.95, 0.999, 1.0};
  const auto at_each_p = [&](const LogitRow& row) {
    std::optional<Tensor> fewer;
    for (const double p : ps) {
      SamplingParams params = at_temperature(1.0);
      params.top_p = p;
      record_chain(row, params, 0.5);
      Tensor kept = native_draw(row, params, 0.5).stages.at(Probe::sample_top_p);
      if (fewer) record(check_nested("a larger p keeps all that a smaller one does", row.name, *fewer, kept));
      fewer = std::move(kept);
    }
  };
  for (const LogitRow& row : model_rows()) at_each_p(row);
  for (const std::int64_t vocab : vocabularies()) {
    for (const LogitRow& row : made_up_rows(vocab)) at_each_p(row);
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
