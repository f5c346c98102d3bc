#include "impl/batch.h"

#include <set>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

void check_step(const SequenceStep& step, std::int64_t vocab_size, const std::string& where) {
  if (step.tokens.empty()) throw Error("has no tokens", where);
  if (step.positions.size() != step.tokens.size()) {
    throw Error(fmt::format("has {} positions for {} tokens", step.positions.size(), step.tokens.size()),
                where);
  }
  for (const TokenId token : step.tokens) {
    if (token < 0 || token >= vocab_size) {
      throw Error(fmt::format("token id {} is outside the vocabulary of {}", token, vocab_size), where);
    }
  }
  for (const std::int64_t position : step.positions) {
    if (position < 0) throw Error(fmt::format("position {} is negative", position), where);
  }
}

std::int64_t logit_rows(const SequenceStep& step) {
  if (step.logits == LogitsWanted::none) return 0;
  return step.logits == LogitsWanted::last ? 1 : static_cast<std::int64_t>(step.tokens.size());
}

}  // namespace

Batch make_batch(std::span<const SequenceStep> steps, const NativeCache& cache, std::int64_t vocab_size) {
  if (steps.empty()) throw Error("there are no steps", "forward");
  Batch batch;
  std::set<SequenceId> seen;
  for (const SequenceStep& step : steps) {
    const std::string where = fmt::format("forward: sequence {}", step.sequence);
    check_step(step, vocab_size, where);
    if (!seen.insert(step.sequence).second) throw Error("is named twice", where);
    BatchStep made;
    made.sequence = step.sequence;
    made.first_row = batch.rows;
    made.rows = static_cast<std::int64_t>(step.tokens.size());
    made.past = cache.past_of(step.sequence, made.rows);
    made.first_logit_row = batch.logit_rows;
    made.logit_rows = logit_rows(step);
    made.tokens = step.tokens;
    made.positions = step.positions;
    batch.rows += made.rows;
    batch.logit_rows += made.logit_rows;
    batch.steps.push_back(made);
  }
  return batch;
}

}  // namespace plumbline::native
