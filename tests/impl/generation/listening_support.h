// Texts that go through tiny in ragged prefills and single tokens, while sinks listen or act.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "harness/trace.h"
#include "impl/cpu/engine.h"
#include "impl/generation/step_sink.h"
#include "tests/impl/support.h"

namespace plumbline::native::testing {

// Tokens of one sequence in one call; positions count on from the cache's length.
struct Piece {
  SequenceId sequence = 0;
  std::vector<TokenId> tokens;
  LogitsWanted wanted = LogitsWanted::all;
};
using Call = std::vector<Piece>;

// Prefills of sequences 1 and 0, of 5 and 3 tokens, then `decodes` calls of one token of each, in turns of
// order.
std::vector<Call> ragged_calls(int decodes, unsigned seed = 1);
// All tokens of a sequence in one call, and one by one.
std::vector<Call> whole(SequenceId sequence, const std::vector<TokenId>& tokens);
std::vector<Call> one_by_one(SequenceId sequence, const std::vector<TokenId>& tokens, std::size_t prefill);

// tiny, with a cache for three sequences.
struct Listening {
  std::unique_ptr<Engine> engine = make_cpu_engine(tiny_model(), {.threads = 1});
  std::unique_ptr<Cache> cache = fresh();

  std::unique_ptr<Cache> fresh() const;
  // Tells the sink and runs the call; its logits, one step after the other. nullptr: a NullSink.
  std::vector<float> run(const Call& call, StepSink* sink = nullptr);
  // All calls, over a cache of their own.
  std::vector<float> run_all(const std::vector<Call>& calls, StepSink* sink = nullptr);
  // What the trace recorder sees of them, over a cache of its own.
  Trace trace(const std::vector<Call>& calls);
};

const TraceStep& step_of(const Trace& trace, SequenceId sequence, std::int64_t step);
// Row `row` of two tensors [rows, ...], bit for bit.
bool same_row(const TensorView& a, std::int64_t row_a, const TensorView& b, std::int64_t row_b);

// Throws std::runtime_error when the engine shows the site.
class ThrowingSink final : public ProbeSink {
 public:
  explicit ThrowingSink(OpSite site) : site_(site) {}
  Access access(const ProbeId& id) const override { return id.site == site_ ? Access::read : Access::none; }
  void receive(const ProbeId&, const TensorView&) override { throw std::runtime_error("on purpose"); }

 private:
  OpSite site_;
};

}  // namespace plumbline::native::testing
