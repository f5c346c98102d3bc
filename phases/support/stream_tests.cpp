#include "phases/support/stream_tests.h"

#include <algorithm>
#include <mutex>
#include <numeric>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/error.h"
#include "harness/parallel.h"
#include "phases/support/suite.h"
#include "reference/chi_squared.h"

namespace plumbline::phases {
namespace {

constexpr double kLeastExpected = 5;

struct Fit {
  double statistic = 0, degrees = 0, critical = 0, p = 0, power = 0;
};

Fit fit(const StreamTest& test, double alpha) {
  const auto draws = static_cast<double>(test.draws());
  Fit result;
  for (std::size_t bin = 0; bin < test.counts.size(); ++bin) {
    const double expected = draws * test.probabilities[bin];
    require(expected >= kLeastExpected, "stream test: a bin is expected fewer than 5 times");
    const double difference = static_cast<double>(test.counts[bin]) - expected;
    result.statistic += difference * difference / expected;
  }
  result.degrees = static_cast<double>(test.counts.size() - 1);
  result.critical = reference::chi_squared_critical(alpha, result.degrees);
  result.p = reference::chi_squared_tail(result.statistic, result.degrees);
  result.power = reference::chi_squared_power(result.critical, result.degrees,
                                              4 * draws * kTotalVariation * kTotalVariation);
  return result;
}

}  // namespace

std::int64_t StreamTest::draws() const {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

std::vector<double> equal_bins(std::size_t bins) {
  return std::vector<double>(bins, 1.0 / static_cast<double>(bins));
}

StreamTest count_bins(std::string what, std::string subject, std::vector<double> probabilities,
                      std::int64_t draws, const std::function<Bin()>& make_bin) {
  constexpr std::int64_t kPiece = 1 << 18;
  StreamTest test{std::move(what), std::move(subject), std::move(probabilities), {}};
  test.counts.assign(test.probabilities.size(), 0);
  std::mutex adding;
  const auto pieces = static_cast<std::size_t>((draws + kPiece - 1) / kPiece);
  parallel_for(pieces, 0, [&](std::size_t piece) {
    const Bin bin = make_bin();
    std::vector<std::int64_t> counts(test.counts.size(), 0);
    const std::int64_t begin = static_cast<std::int64_t>(piece) * kPiece;
    for (std::int64_t i = begin; i < std::min(begin + kPiece, draws); ++i) ++counts.at(bin(i));
    const std::scoped_lock lock(adding);
    for (std::size_t each = 0; each < counts.size(); ++each) test.counts[each] += counts[each];
  });
  return test;
}

void record_family(const std::vector<StreamTest>& tests) {
  const double alpha = kFamilyAlpha / static_cast<double>(tests.size());
  Evidence table;
  table.title = fmt::format(
      "Statistical tests of random draws: one family of {}, family-wise alpha {:.0e}, each at level {:.2e} "
      "(Bonferroni); fixed seeds, never drawn again. Power: against the least visible distribution at a "
      "total "
      "variation of {:.0e}",
      tests.size(), kFamilyAlpha, alpha, kTotalVariation);
  table.header = {"test", "draws", "degrees of freedom", "chi-squared", "critical", "p", "power"};
  for (const StreamTest& test : tests) {
    const Fit result = fit(test, alpha);
    record(check_at_most(test.what, test.subject, "chi-squared", result.statistic, result.critical));
    table.rows.push_back({test.what + ", " + test.subject,
                          fmt::format("{:.0e}", static_cast<double>(test.draws())),
                          fmt::format("{}", result.degrees), fmt::format("{:.2f}", result.statistic),
                          fmt::format("{:.2f}", result.critical), fmt::format("{:.3f}", result.p),
                          fmt::format("{:.4f}", result.power)});
  }
  add_evidence(std::move(table));
}

}  // namespace plumbline::phases
