#include "impl/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/rng.h"
#include "impl/sampling/filters.h"
#include "impl/sampling/penalties.h"
#include "impl/sampling/scores.h"

namespace plumbline::native {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr const char* kLeftBySink = "sample: as the probe's sink left the logits";

class NativeSampler final : public Sampler {
 public:
  explicit NativeSampler(std::uint64_t seed) : seed_(seed) {}
  TokenId sample(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) override;

 private:
  TokenId sample_by_chance(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink);
  bool emit_scores(ProbeSink& sink, Probe probe);  // whether they were changed
  void emit_candidates(ProbeSink& sink, Probe probe, std::uint64_t row);
  std::span<const float> emit_probabilities(ProbeSink& sink);

  const std::uint64_t seed_;
  std::vector<float> scores_;  // [vocab], -inf where dropped
  Penalties penalties_;
  TopK top_k_;
  TopP top_p_;
  Candidates candidates_;
};

bool wanted(const ProbeSink& sink, Probe probe) {
  return sink.access({{probe, -1}, 0}) != ProbeSink::Access::none;
}

// Whether the sink may have changed what it was shown.
template <typename T>
bool emit(ProbeSink& sink, Probe probe, DType dtype, std::span<T> values) {
  const ProbeId id{{probe, -1}, 0};
  const ProbeSink::Access access = sink.access(id);
  if (access == ProbeSink::Access::none) return false;
  const MutableTensorView view(values.data(), dtype, {static_cast<std::int64_t>(values.size())});
  if (access == ProbeSink::Access::read) sink.receive(id, view);
  if (access == ProbeSink::Access::write) sink.modify(id, view);
  return access == ProbeSink::Access::write;
}

TokenId emit_token(ProbeSink& sink, TokenId token) {
  std::int64_t wide = token;
  emit(sink, Probe::sample_token, DType::i64, std::span(&wide, 1));
  return static_cast<TokenId>(wide);
}

[[noreturn]] void refuse_nans(std::span<const float> scores, std::int64_t nans, std::uint64_t row,
                              const char* where) {
  std::size_t first = 0;
  while (!std::isnan(scores[first])) ++first;
  throw Error(fmt::format("row {}: {} of {} logits are NaN, the first that of token {}", row, nans,
                          scores.size(), first),
              where, "nothing was drawn");
}

// What the stages rely on: no NaN, at least one logit above -inf, and for a draw no +inf.
// Returns the largest.
float check(std::span<const float> scores, bool infinity_allowed, std::uint64_t row, const char* where) {
  const Census census = take_census(scores);
  if (census.nans > 0) refuse_nans(scores, census.nans, row, where);
  if (census.largest == -kInfinity) {
    throw Error(fmt::format("row {}: none of {} logits is above -inf", row, scores.size()), where);
  }
  if (census.largest == kInfinity && !infinity_allowed) {
    throw Error(fmt::format("row {}: the logit of token {} is infinite", row, argmax(scores)), where);
  }
  return census.largest;
}

bool NativeSampler::emit_scores(ProbeSink& sink, Probe probe) {
  return emit(sink, probe, DType::f32, std::span(scores_));
}

// The filters' stages are seen dense; what a sink leaves in the view is what the chain goes on with.
void NativeSampler::emit_candidates(ProbeSink& sink, Probe probe, std::uint64_t row) {
  if (!wanted(sink, probe)) return;
  candidates_.scatter(scores_);
  if (!emit(sink, probe, DType::f32, std::span(scores_))) return;
  check(scores_, false, row, kLeftBySink);
  candidates_.take_all(scores_);
}

std::span<const float> NativeSampler::emit_probabilities(ProbeSink& sink) {
  const std::span<const float> probabilities = candidates_.probabilities();
  if (!wanted(sink, Probe::sample_probs)) return probabilities;
  std::ranges::fill(scores_, 0.0f);
  const std::span<const TokenId> ids = candidates_.ids();
  for (std::size_t i = 0; i < ids.size(); ++i) scores_[static_cast<std::size_t>(ids[i])] = probabilities[i];
  if (!emit(sink, Probe::sample_probs, DType::f32, std::span(scores_))) return probabilities;
  candidates_.take_all(scores_);  // every id, in order
  return candidates_.scores();
}

TokenId NativeSampler::sample(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) {
  validate(params);
  validate(step, params);
  const bool greedy = params.temperature == 0.0;
  scores_.resize(static_cast<std::size_t>(step.logits.elements()));
  widen(step.logits, scores_);
  float largest = check(scores_, greedy, step.row, "sample");
  if (emit_scores(sink, Probe::sample_logits)) largest = check(scores_, greedy, step.row, kLeftBySink);
  const bool penalized = Penalties::any(params);
  if (penalized) penalties_.apply(scores_, step.history, step.generated, params);
  if (emit(sink, Probe::sample_penalized, DType::f32, std::span(scores_)) || penalized) {
    largest = check(scores_, greedy, step.row, "sample: after the penalties");
  }
  if (greedy) return emit_token(sink, argmax(scores_));
  // Division by a positive number keeps the order: the largest becomes +inf first, and -inf last. (NaN: 0 /
  // 0, where the temperature is 0 in f32.)
  if (!std::isfinite(largest / static_cast<float>(params.temperature))) {
    throw Error(fmt::format("row {}: a temperature of {} makes the largest logit, {}, infinite", step.row,
                            params.temperature, largest),
                "sample");
  }
  return sample_by_chance(step, params, sink);
}

TokenId NativeSampler::sample_by_chance(const SamplingStep& step, const SamplingParams& params,
                                        ProbeSink& sink) {
  scale_by_temperature(scores_, params.temperature);
  if (emit_scores(sink, Probe::sample_scaled)) check(scores_, false, step.row, kLeftBySink);
  if (params.top_k > 0) {
    top_k_.take(scores_, params.top_k, candidates_);
  } else {
    candidates_.take_all(scores_);
  }
  emit_candidates(sink, Probe::sample_top_k, step.row);
  if (params.top_p < 1.0) top_p_.keep(params.top_p, candidates_);
  emit_candidates(sink, Probe::sample_top_p, step.row);
  if (params.min_p > 0.0) keep_min_p(params.min_p, candidates_);
  emit_candidates(sink, Probe::sample_min_p, step.row);
  const std::span<const float> probabilities = emit_probabilities(sink);
  double noise = step.uniform ? *step.uniform : uniform(seed_, step.row, step.step);
  emit(sink, Probe::sample_noise, DType::f64, std::span(&noise, 1));
  return emit_token(sink, draw(candidates_.ids(), probabilities, noise));
}

}  // namespace

std::unique_ptr<Sampler> make_sampler(std::uint64_t seed) {
  return std::make_unique<NativeSampler>(seed);
}

}  // namespace plumbline::native
