// Several steps as one with more rows, for ops whose rows do not see each other: the replay of a linear layer
// reads its weights once for all decode steps instead of once for each.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "harness/replay.h"

namespace plumbline {

// Rows of an op's output in one step, if that op can be stacked there: it is row by row (a linear layer), and
// output and inputs were recorded as matrices, the inputs with at least as many rows. 0 otherwise.
std::int64_t stackable_rows(OpSite site, const RecordedStep& step);

// The tensors that one op reads and writes, its rows of all steps below each other. Nothing else is recorded
// in it. The steps must outlive it. Throws InternalError for steps that cannot be stacked with each other
// (another dtype or width).
class StackedRows final : public RecordedStep {
 public:
  StackedRows(OpSite site, std::span<const RecordedStep* const> steps);
  const GivenInputs* given() const override { return nullptr; }
  const TensorView* find(OpSite site) const override;
  const TensorView* previous_key(int) const override { return nullptr; }
  const TensorView* previous_value(int) const override { return nullptr; }
  std::int64_t past_length() const override { return 0; }
  std::int64_t tokens() const override { return rows_; }
  Precision precision() const override { return precision_; }

 private:
  std::int64_t rows_ = 0;
  Precision precision_;
  std::map<OpSite, Tensor> tensors_;
  std::map<OpSite, TensorView> views_;
};

// Whether two steps may be stacked for this op: the same dtypes and widths.
bool stack_together(OpSite site, const RecordedStep& a, const RecordedStep& b);

}  // namespace plumbline
