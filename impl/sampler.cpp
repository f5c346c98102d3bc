#include "impl/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "harness/error.h"
#include "impl/rng.h"
#include "impl/sampling/emit.h"
#include "impl/sampling/filters.h"
#include "impl/sampling/penalties.h"
#include "impl/sampling/refusals.h"
#include "impl/sampling/scores.h"

namespace plumbline::native {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

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

std::int64_t first_nan(std::span<const float> scores) {
  std::int64_t first = 0;
  while (!std::isnan(scores[static_cast<std::size_t>(first)])) ++first;
  return first;
}

// What the stages rely on: no NaN, at least one logit above -inf, and for a draw no +inf.
// Returns the largest.
float check(std::span<const float> scores, bool infinity_allowed, std::uint64_t row, const char* where) {
  const Census census = take_census(scores);
  const auto vocab = static_cast<std::int64_t>(scores.size());
  if (census.nans > 0) refuse_nans(row, census.nans, vocab, first_nan(scores), where);
  if (census.largest == -kInfinity) refuse_all_dropped(row, vocab, where);
  if (census.largest == kInfinity && !infinity_allowed) refuse_infinite(row, argmax(scores), where);
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
  require(step.logits.device.kind == DeviceKind::cpu, "sample: the logits are not on the host");
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
  require_finite_scores(step.row, params.temperature, largest);
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
  const double noise = emit_noise(sink, step.uniform ? *step.uniform : uniform(seed_, step.row, step.step));
  return emit_token(sink, draw(candidates_.ids(), probabilities, noise));
}

}  // namespace

std::unique_ptr<Sampler> make_sampler(std::uint64_t seed) {
  return std::make_unique<NativeSampler>(seed);
}

std::shared_ptr<Sampler> sampler_for(const Engine& engine, std::uint64_t seed) {
  if (std::shared_ptr<Sampler> on_device = engine.device_sampler(seed)) return on_device;
  return make_sampler(seed);
}

}  // namespace plumbline::native
