// What the tests of the native sampler share: a sink that keeps every stage, and rows of scores of all
// shapes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/sampling.h"
#include "impl/sampling/candidates.h"

namespace plumbline::native::testing {

using Ids = std::vector<TokenId>;
using Floats = std::vector<float>;

class StageSink final : public ProbeSink {
 public:
  std::vector<std::string> order;
  std::map<std::string, Tensor> seen;
  Access access(const ProbeId&) const override { return Access::read; }
  void receive(const ProbeId& id, const TensorView& view) override;
  Floats floats(const std::string& name) const;
};

// A step over f32 logits, which must outlive it.
SamplingStep step_of(const Floats& logits, std::span<const TokenId> history = {},
                     std::optional<double> uniform = 0.5);
SamplingParams at_temperature(double temperature);

// Ids above -inf.
Ids kept(const Floats& scores);

// The candidates' scores, -inf where dropped.
Floats dense(const Candidates& candidates, std::size_t vocab);

// [vocab] scores each way that makes a filter's life hard, by name: normal, ties, all equal, one outlier,
// geometric, clusters far apart, the smallest numbers there are, holes of -inf, a wide range.
std::map<std::string, Floats> awkward_rows(std::size_t vocab, unsigned seed);

}  // namespace plumbline::native::testing
