#include "reference/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/CPUGeneratorImpl.h>

#include "reference/internal/convert_torch.h"
#include "reference/internal/guard_torch.h"

namespace plumbline::reference {
namespace {

const double kMinusInfinity = -std::numeric_limits<double>::infinity();

void emit(ProbeSink& sink, Probe probe, const at::Tensor& values) {
  const ProbeId id{{probe, -1}, 0};
  const ProbeSink::Access access = sink.access(id);
  if (access == ProbeSink::Access::read) sink.receive(id, view_of(values));
  if (access == ProbeSink::Access::write) sink.modify(id, mutable_view_of(values));
}

// No NaN, one above -inf, and for a draw no +inf.
void check(const at::Tensor& scores, bool infinity_allowed, std::uint64_t row, const char* stage) {
  const std::string where = std::string("sampling, ") + stage + ", row " + std::to_string(row);
  const auto largest = scores.max().item<double>();  // NaN if any is
  if (std::isnan(largest)) {
    const std::int64_t nans = at::isnan(scores).sum().item<std::int64_t>();
    throw Error(std::to_string(nans) + " logits are NaN", where);
  }
  if (largest == kMinusInfinity) throw Error("every logit is -inf", where);
  if (largest == -kMinusInfinity && !infinity_allowed) throw Error("a logit is infinite", where);
}

// How often each token occurs, [vocab] f32.
at::Tensor occurrences(std::span<const TokenId> tokens, std::int64_t vocab) {
  const at::Tensor counts = at::zeros({vocab}, at::kFloat);
  for (const TokenId token : tokens) counts.mutable_data_ptr<float>()[token] += 1;
  return counts;
}

// Every token that has occurred, once each: positive / p, negative * p.
at::Tensor penalize_repetition(const at::Tensor& logits, std::span<const TokenId> history, double penalty) {
  const at::Tensor occurred = occurrences(history, logits.size(0)) > 0;
  const at::Tensor changed = at::where(logits < 0, logits * penalty, logits / penalty);
  return at::where(occurred, changed, logits);
}

// logit - frequency * count, then - presence where the count is not 0 (the two penalties of OpenAI's API).
at::Tensor penalize_generated(const at::Tensor& logits, std::span<const TokenId> generated,
                              const SamplingParams& params) {
  const at::Tensor counts = occurrences(generated, logits.size(0));
  const at::Tensor present = (counts > 0).to(at::kFloat);
  return logits - counts * params.frequency_penalty - present * params.presence_penalty;
}

at::Tensor add_biases(const at::Tensor& logits, const SamplingParams& params) {
  const at::Tensor biases = at::zeros_like(logits);
  for (const LogitBias& each : params.logit_bias) biases[each.token].fill_(each.bias);
  return logits + biases;
}

at::Tensor penalized(const at::Tensor& logits, const SamplingStep& step, const SamplingParams& params) {
  at::Tensor scores = logits;
  if (params.repetition_penalty != 1.0) {
    scores = penalize_repetition(scores, step.history, params.repetition_penalty);
  }
  if (params.frequency_penalty != 0.0 || params.presence_penalty != 0.0) {
    const auto generated = static_cast<std::size_t>(step.generated);
    scores = penalize_generated(scores, step.history.last(generated), params);
  }
  if (!params.logit_bias.empty()) scores = add_biases(scores, params);
  return scores;
}

at::Tensor keep_top_k(const at::Tensor& scores, std::int64_t k) {
  if (k == 0) return scores.clone();
  const at::Tensor kth = std::get<0>(at::topk(scores, std::min(k, scores.size(0))))[-1];
  return scores.masked_fill(scores < kth, kMinusInfinity);
}

// Ascending: drops while the sum of probabilities is at most 1 - p, and always keeps the last.
at::Tensor keep_top_p(const at::Tensor& scores, double p) {
  if (p >= 1.0) return scores.clone();
  const auto [sorted, order] = at::sort(scores, /*stable=*/true, /*dim=*/-1, /*descending=*/false);
  const at::Tensor cumulative = at::softmax(sorted, -1).cumsum(-1);
  const at::Tensor dropped = cumulative <= 1.0 - p;
  dropped[-1].fill_(false);
  return scores.masked_fill(at::zeros_like(dropped).scatter(0, order, dropped), kMinusInfinity);
}

at::Tensor keep_min_p(const at::Tensor& scores, double min_p) {
  if (min_p == 0.0) return scores.clone();
  const at::Tensor probs = at::softmax(scores, -1);
  const at::Tensor dropped = probs < min_p * probs.max();
  dropped[probs.argmax().item<std::int64_t>()].fill_(false);
  return scores.masked_fill(dropped, kMinusInfinity);
}

// The first token whose cumulative probability exceeds `uniform`; the last positive one if none does.
std::int64_t inverse_cdf(const at::Tensor& probs, double uniform) {
  double cumulative = 0;
  std::int64_t last_positive = 0;
  for (std::int64_t token = 0; token < probs.size(0); ++token) {
    const double p = probs.const_data_ptr<float>()[token];
    if (!(p > 0.0)) continue;
    cumulative += p;
    last_positive = token;
    if (cumulative > uniform) return token;
  }
  return last_positive;
}

class ReferenceSampler final : public Sampler {
 public:
  explicit ReferenceSampler(std::uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}

  TokenId sample(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) override {
    validate(params);
    validate(step, params);
    return in_torch([&] { return chain(step, params, sink); });
  }

 private:
  static TokenId chosen(std::int64_t token, ProbeSink& sink) {
    const at::Tensor probe = at::full({1}, token, at::kLong);
    emit(sink, Probe::sample_token, probe);
    return static_cast<TokenId>(probe.item<std::int64_t>());
  }

  TokenId chain(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) const {
    const bool greedy = params.temperature == 0.0;
    const at::Tensor logits =
        to_f64_torch(step.logits).to(at::kFloat);  // exact: all three types are narrower
    check(logits, greedy, step.row, "logits");
    emit(sink, Probe::sample_logits, logits);
    at::Tensor scores = penalized(logits, step, params);
    emit(sink, Probe::sample_penalized, scores);
    check(scores, greedy, step.row, "after the penalties");
    if (greedy) return chosen(scores.argmax().item<std::int64_t>(), sink);

    scores = scores / params.temperature;
    check(scores, false, step.row, "after the temperature");
    emit(sink, Probe::sample_scaled, scores);
    scores = keep_top_k(scores, params.top_k);
    emit(sink, Probe::sample_top_k, scores);
    scores = keep_top_p(scores, params.top_p);
    emit(sink, Probe::sample_top_p, scores);
    scores = keep_min_p(scores, params.min_p);
    emit(sink, Probe::sample_min_p, scores);
    const at::Tensor probs = at::softmax(scores, -1);
    emit(sink, Probe::sample_probs, probs);
    return chosen(drawn(probs, step.uniform, sink), sink);
  }

  std::int64_t drawn(const at::Tensor& probs, std::optional<double> uniform, ProbeSink& sink) const {
    if (!uniform) return at::multinomial(probs, 1, /*replacement=*/true, generator_).item<std::int64_t>();
    const at::Tensor noise = at::full({1}, *uniform, at::kDouble);
    emit(sink, Probe::sample_noise, noise);
    return inverse_cdf(probs, noise.item<double>());
  }

  const at::Generator generator_;
};

}  // namespace

std::unique_ptr<Sampler> make_sampler(std::uint64_t seed) {
  return in_torch([&] { return std::make_unique<ReferenceSampler>(seed); });
}

std::vector<TokenId> multinomial(std::span<const float> probabilities, std::int64_t draws,
                                 std::uint64_t seed) {
  const bool usable =
      std::all_of(probabilities.begin(), probabilities.end(),
                  [](float p) { return p >= 0.0f && p < std::numeric_limits<float>::infinity(); }) &&
      std::any_of(probabilities.begin(), probabilities.end(), [](float p) { return p > 0.0f; });
  if (!usable) throw Error("probabilities must be finite and not negative, and one positive", "multinomial");
  if (draws < 1) throw Error("draws is " + std::to_string(draws), "multinomial", "at least 1");
  return in_torch([&] {
    const at::Tensor weights = at::empty({static_cast<std::int64_t>(probabilities.size())}, at::kFloat);
    std::copy(probabilities.begin(), probabilities.end(), weights.mutable_data_ptr<float>());
    const at::Generator generator = at::detail::createCPUGenerator(seed);
    const at::Tensor drawn = at::multinomial(weights, draws, /*replacement=*/true, generator);
    const std::int64_t* ids = drawn.const_data_ptr<std::int64_t>();
    return std::vector<TokenId>(ids, ids + draws);
  });
}

}  // namespace plumbline::reference
