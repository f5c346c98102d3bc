// Prompts too long for every tensor of theirs to be kept: what of them is judged, and where the page says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/report.h"
#include "phases/support/sides.h"

namespace plumbline::phases {

// Up to here a prompt is judged whole (judged()).
inline constexpr std::size_t kJudgedWhole = 1024;

// One prefill by the subject, logits of the last position alone, judged op by op. Scores and probs are not
// recorded: they are skipped, and judged within the fused span that ends in the context. Of a model whose
// tensors would take gigabytes the first, the middle and the last layer are judged, the others skipped. With
// goldens truth's own run stands beside it, else `truth` is empty: it would only be shown. No suspects are
// tried on what is wrong: at 2,048 tokens that takes minutes, and the shorter prompts show most mistakes.
JudgedPrompt judged_in_spans(const Prompt& prompt);

// Which ops were judged at which length: one column for each run, one row for each op class.
class JudgedLengths {
 public:
  void add(const JudgedPrompt& run);
  Evidence table() const;

 private:
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> columns_;
};

}  // namespace plumbline::phases
