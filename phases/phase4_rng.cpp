// Phase 4: the uniforms and draws of both sides, by themselves: reproducible, apart, and distributed as they
// should be.
#include <cmath>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "impl/rng.h"
#include "phases/support/chain.h"
#include "phases/support/stream_tests.h"
#include "phases/support/subject_sampler.h"
#include "phases/support/suite.h"
#include "reference/sampler.h"

namespace plumbline::phases {
namespace {

// Draws of a test: enough for a power near 1, or, to be quick, what every test has at least.
std::int64_t draws_of(std::int64_t thorough) {
  return options().quick ? 1'000'000 : thorough;
}
constexpr std::int64_t kManyDraws = 20'000'000;
// Of a sampler on a device each costs a wait; its uniforms are those of the host's, of which as many are
// drawn there as here.
std::int64_t sampler_draws_of(std::int64_t thorough) {
  if (!subject_sampler()->takes_device_logits()) return draws_of(thorough);
  return options().quick ? 5'000 : 50'000;
}
// Of pairs of the sampler's own draws: what they could show is a stream that ignores row or step.
constexpr std::int64_t kPairs = 2'000'000;

const std::vector<double> kUneven{0.4, 0.25, 0.125, 0.1, 0.0625, 0.0375, 0.025};

// Draws of the native sampler from its own stream: row and step of draw i by `place`.
using Place = std::function<std::pair<std::uint64_t, std::uint64_t>(std::int64_t)>;
class OwnStream {
 public:
  OwnStream(std::uint64_t seed, const std::vector<double>& probabilities)
      : sampler_(subject_sampler(seed)), params_(at_temperature(1)) {
    for (const double p : probabilities) logits_.push_back(static_cast<float>(std::log(p)));
  }
  std::size_t draw(std::uint64_t row, std::uint64_t step) {
    SamplingStep given{{logits_.data(), DType::f32, {static_cast<std::int64_t>(logits_.size())}}, {}};
    given.row = row;
    given.step = step;
    return static_cast<std::size_t>(sampler_->sample(given, params_, nothing_));
  }

 private:
  std::shared_ptr<Sampler> sampler_;
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
      "native sampler's own draws from 7 tokens", "seed 3, row 0", kUneven, sampler_draws_of(kManyDraws), [] {
        auto stream = std::make_shared<OwnStream>(3, kUneven);
        return [stream](std::int64_t i) { return stream->draw(0, static_cast<std::uint64_t>(i)); };
      });
}

// Two draws each from four equal tokens: all 16 pairs are as likely.
StreamTest pairs_of_draws(std::string what, std::string subject, std::uint64_t other_row,
                          std::uint64_t steps_each) {
  return count_bins(std::move(what), std::move(subject), equal_bins(16), sampler_draws_of(kPairs), [=] {
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
  record_equal("the two sides' own streams are the same", "seed 7", "false",
               drawn_by(*subject_sampler(7)) == drawn_by(*reference::make_sampler(7)) ? "true" : "false");
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

}  // namespace plumbline::phases
