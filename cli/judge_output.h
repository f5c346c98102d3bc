// What judge and merge say of a judgement: the page, the lines on the terminal, the exit status.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "harness/judge.h"
#include "harness/report.h"

namespace plumbline::cli {

// A judgement that is explained, and trivial passes skipped.
struct Judged {
  std::string trace, model;  // as given on the command line
  std::string engine;        // empty: unknown
  std::vector<std::string> assumptions;
  Judgement judgement;
  std::vector<Evidence> closely;                  // of the ops to be seen so
  std::vector<std::pair<int, int>> never_judged;  // ranges of layers that nobody has judged
};

std::string judgement_page(const Judged& judged);  // judge.md

// The first wrong op in a sentence, then each wrong op, then the counts; assumptions to standard error.
// Returns the exit status.
int tell(const Judged& judged);

}  // namespace plumbline::cli
