#include "impl/sampler.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/sampling_stages.h"

namespace plumbline::native {
namespace {

class NativeSampler final : public Sampler {
 public:
  TokenId sample(std::span<const float> logits, std::span<const TokenId> history,
                 const SamplingParams& params, double uniform, ProbeSink& sink) override;

 private:
  TokenId sample_by_chance(std::vector<float> logits, const SamplingParams& params, double uniform,
                           ProbeSink& sink);
};

void emit(ProbeSink& sink, Probe probe, MutableTensorView view) {
  const ProbeId id{{probe, -1}, 0};
  switch (sink.access(id)) {
    case ProbeSink::Access::none:
      return;
    case ProbeSink::Access::read:
      return sink.receive(id, view);
    case ProbeSink::Access::write:
      return sink.modify(id, view);
  }
}

void emit(ProbeSink& sink, Probe probe, std::vector<float>& values) {
  emit(sink, probe, MutableTensorView(values.data(), DType::f32, {static_cast<std::int64_t>(values.size())}));
}

TokenId emit_token(ProbeSink& sink, TokenId token) {
  std::int64_t wide = token;
  emit(sink, Probe::sample_token, MutableTensorView(&wide, DType::i64, {1}));
  return static_cast<TokenId>(wide);
}

// Exactly what the stages rely on: at least one logit that is not -inf, no NaN, and for a draw no +inf.
void check(std::span<const float> logits, bool infinity_allowed, const char* where) {
  bool any = false;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) throw Error(fmt::format("the logit of token {} is NaN", i), where);
    const bool infinite = std::isinf(logits[i]);
    if (infinite && logits[i] > 0 && !infinity_allowed) {
      throw Error(fmt::format("the logit of token {} is infinite", i), where);
    }
    any = any || !infinite || logits[i] > 0;
  }
  if (!any) throw Error("no token has a logit above -inf", where);
}

TokenId NativeSampler::sample(std::span<const float> logits, std::span<const TokenId> history,
                              const SamplingParams& params, double uniform, ProbeSink& sink) {
  validate(params);
  const bool greedy = params.temperature == 0.0;
  const bool uniform_ok = uniform >= 0.0 && uniform < 1.0;
  if (!greedy && !uniform_ok) throw Error(fmt::format("uniform is {}, not in [0, 1)", uniform), "sample");
  std::vector<float> work(logits.begin(), logits.end());
  check(work, greedy, "sample");
  emit(sink, Probe::sample_logits, work);
  if (params.repetition_penalty != 1.0) penalize_repetition(work, history, params.repetition_penalty);
  emit(sink, Probe::sample_penalized, work);
  if (!greedy) return sample_by_chance(std::move(work), params, uniform, sink);
  check(work, true, "sample: after the repetition penalty");
  return emit_token(sink, argmax(work));
}

TokenId NativeSampler::sample_by_chance(std::vector<float> work, const SamplingParams& params, double uniform,
                                        ProbeSink& sink) {
  scale_by_temperature(work, params.temperature);
  check(work, false, "sample: after the temperature");
  emit(sink, Probe::sample_scaled, work);
  if (params.top_k > 0) keep_top_k(work, params.top_k);
  emit(sink, Probe::sample_top_k, work);
  if (params.top_p < 1.0) keep_top_p(work, params.top_p);
  emit(sink, Probe::sample_top_p, work);
  if (params.min_p > 0.0) keep_min_p(work, params.min_p);
  emit(sink, Probe::sample_min_p, work);
  check(work, false, "sample: after the filters");
  std::vector<float> probs = softmax(work);
  emit(sink, Probe::sample_probs, probs);
  emit(sink, Probe::sample_noise, MutableTensorView(&uniform, DType::f64, {1}));
  return emit_token(sink, draw(probs, uniform));
}

}  // namespace

std::unique_ptr<Sampler> make_sampler() {
  return std::make_unique<NativeSampler>();
}

}  // namespace plumbline::native
