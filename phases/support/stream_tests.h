// Statistical tests of random draws: chi-squared, all of one family, whose chance to fail a right generator
// is set for the family as a whole.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace plumbline::phases {

inline constexpr double kFamilyAlpha = 1e-6;     // of all tests of a family together (Bonferroni)
inline constexpr double kTotalVariation = 1e-3;  // the distance for which the power is stated

// Counts of draws that should follow `probabilities`; each bin is expected at least 5 times.
struct StreamTest {
  std::string what;     // "uniforms in 16 bins"
  std::string subject;  // seeds and rows
  std::vector<double> probabilities;
  std::vector<std::int64_t> counts;
  std::int64_t draws() const;
};

// Gives draw i's bin, below probabilities.size().
using Bin = std::function<std::size_t(std::int64_t)>;

// Draws 0 … draws - 1, in pieces on all cores; `make_bin` is called once for each piece.
StreamTest count_bins(std::string what, std::string subject, std::vector<double> probabilities,
                      std::int64_t draws, const std::function<Bin()>& make_bin);

// A check for each, at the level kFamilyAlpha / tests.size(), and a table with degrees of freedom, p, and the
// power against the least visible distribution at a total variation of kTotalVariation: noncentrality 4 n
// d^2, by Cauchy and Schwarz the least of all such distributions.
void record_family(const std::vector<StreamTest>& tests);

std::vector<double> equal_bins(std::size_t bins);

}  // namespace plumbline::phases
