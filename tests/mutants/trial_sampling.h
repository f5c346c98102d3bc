// The sampling chain on trial: mistakes planted in a third sampler, judged as phase 4 judges the native one.
#pragma once

#include <string>
#include <vector>

#include "harness/tolerance.h"
#include "tests/mutants/sampler.h"

namespace plumbline::mutants {

struct SamplingResult {
  SamplingMutation mutation;
  int draws = 0;
  int wrong_draws = 0;      // draws that something was wrong with
  std::string first_wrong;  // what was wrong first, in the first wrong draw: a stage, or a check
  std::string others;       // other first wrong stages, in other draws
  std::string shown_by;     // the first wrong draw
  bool planted() const { return mutation.mistake != SamplingMistake::none; }
  bool killed() const { return planted() && wrong_draws > 0; }
  bool blamed_right() const {
    return planted() && first_wrong == mutation.blamed && (others.empty() || others == mutation.also);
  }
};

// The sampler without a mistake comes first: nothing may be wrong with it.
std::vector<SamplingResult> try_sampling(const Tolerances& tolerances);

// What is not as it must be.
std::vector<std::string> complaints_of(const std::vector<SamplingResult>& results);
std::string sampling_section(const std::vector<SamplingResult>& results);  // Markdown

}  // namespace plumbline::mutants
