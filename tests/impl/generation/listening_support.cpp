#include "tests/impl/generation/listening_support.h"

#include <cstring>
#include <deque>
#include <stdexcept>

#include "impl/positions.h"

namespace plumbline::native::testing {
namespace {

constexpr std::int64_t kVocab = 1024;

// The steps of a call, and their positions.
struct Steps {
  std::deque<std::vector<std::int64_t>> positions;
  std::vector<SequenceStep> steps;
  Steps(const Call& call, const Cache& cache) {
    for (const Piece& piece : call) {
      positions.push_back(
          position_ids(cache.length(piece.sequence), static_cast<std::int64_t>(piece.tokens.size())));
      steps.push_back({piece.sequence, piece.tokens, positions.back(), piece.wanted});
    }
  }
};

}  // namespace

std::vector<Call> ragged_calls(int decodes, unsigned seed) {
  std::vector<Call> calls{{{1, some_tokens(5, kVocab, seed), LogitsWanted::none},
                           {0, some_tokens(3, kVocab, seed + 1), LogitsWanted::all}}};
  for (int i = 0; i < decodes; ++i) {
    const auto tokens = some_tokens(2, kVocab, seed + 2 + static_cast<unsigned>(i));
    Call call{{0, {tokens[0]}, LogitsWanted::last}, {1, {tokens[1]}, LogitsWanted::last}};
    if (i % 2 == 1) std::swap(call[0], call[1]);
    calls.push_back(std::move(call));
  }
  return calls;
}

std::vector<Call> whole(SequenceId sequence, const std::vector<TokenId>& tokens) {
  return {{{sequence, tokens, LogitsWanted::all}}};
}

std::vector<Call> one_by_one(SequenceId sequence, const std::vector<TokenId>& tokens, std::size_t prefill) {
  const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(prefill);
  std::vector<Call> calls{{{sequence, {tokens.begin(), first}, LogitsWanted::all}}};
  for (auto token = first; token != tokens.end(); ++token) {
    calls.push_back({{sequence, {*token}, LogitsWanted::all}});
  }
  return calls;
}

std::unique_ptr<Cache> Listening::fresh() const {
  CacheSpec spec;
  spec.max_sequences = 3;
  return engine->make_cache(spec);
}

std::vector<float> Listening::run(const Call& call, StepSink* sink) {
  const Steps made(call, *cache);
  NullSink nothing;
  if (sink != nullptr) sink->begin(made.steps);
  ProbeSink& listener = sink != nullptr ? static_cast<ProbeSink&>(*sink) : nothing;
  std::vector<float> values;
  for (const TensorView& step : engine->forward(made.steps, *cache, listener).steps) {
    const Tensor copy = copy_host(step);
    values.insert(values.end(), copy.values<float>().begin(), copy.values<float>().end());
  }
  return values;
}

std::vector<float> Listening::run_all(const std::vector<Call>& calls, StepSink* sink) {
  cache = fresh();
  std::vector<float> values;
  for (const Call& call : calls) {
    const std::vector<float> more = run(call, sink);
    values.insert(values.end(), more.begin(), more.end());
  }
  return values;
}

Trace Listening::trace(const std::vector<Call>& calls) {
  const std::unique_ptr<Cache> own = fresh();
  TraceRecorder recorder(*engine);
  for (const Call& call : calls) {
    const Steps made(call, *own);
    recorder.begin(made.steps);
    engine->forward(made.steps, *own, recorder);
  }
  return recorder.take();
}

const TraceStep& step_of(const Trace& trace, SequenceId sequence, std::int64_t step) {
  for (const TraceStep& each : trace.steps) {
    if (each.sequence == sequence && each.step == step) return each;
  }
  throw std::logic_error("no such step");
}

bool same_row(const TensorView& a, std::int64_t row_a, const TensorView& b, std::int64_t row_b) {
  const auto width = static_cast<std::size_t>(a.elements() / a.shape[0]);
  const float* of_a = a.as<float>() + static_cast<std::size_t>(row_a) * width;
  const float* of_b = b.as<float>() + static_cast<std::size_t>(row_b) * width;
  return static_cast<std::size_t>(b.elements() / b.shape[0]) == width &&
         same_bits({of_a, width}, {of_b, width});
}

}  // namespace plumbline::native::testing
