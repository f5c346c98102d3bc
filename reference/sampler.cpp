#include "reference/sampler.h"

#include <algorithm>
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

at::Tensor checked_logits(std::span<const float> logits) {
  const at::Tensor values = at::empty({static_cast<std::int64_t>(logits.size())}, at::kFloat);
  std::copy(logits.begin(), logits.end(), values.mutable_data_ptr<float>());
  if (logits.empty()) throw Error("no logits", "sampling");
  if (at::isnan(values).any().item<bool>()) throw Error("a logit is NaN", "sampling");
  if ((values == kMinusInfinity).all().item<bool>()) throw Error("every logit is -inf", "sampling");
  return values;
}

// Every token that has occurred, once each: positive / p, negative * p.
at::Tensor penalized(const at::Tensor& logits, std::span<const TokenId> history, double penalty) {
  const at::Tensor occurred = at::zeros({logits.size(0)}, at::kBool);
  for (const TokenId token : history) {
    if (!(token >= 0 && token < logits.size(0))) {
      throw Error("token " + std::to_string(token) + " is outside the vocabulary of " +
                      std::to_string(logits.size(0)),
                  "sampling: history");
    }
    occurred.mutable_data_ptr<bool>()[token] = true;
  }
  const at::Tensor changed = at::where(logits < 0, logits * penalty, logits / penalty);
  return at::where(occurred, changed, logits);
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
  TokenId sample(std::span<const float> logits, std::span<const TokenId> history,
                 const SamplingParams& params, double uniform, ProbeSink& sink) override {
    validate(params);
    require(uniform >= 0.0 && uniform < 1.0, "sample: uniform outside [0, 1)");
    return in_torch([&] { return chain(checked_logits(logits), history, params, uniform, sink); });
  }

 private:
  static TokenId chosen(std::int64_t token, ProbeSink& sink) {
    const at::Tensor probe = at::full({1}, token, at::kLong);
    emit(sink, Probe::sample_token, probe);
    return static_cast<TokenId>(probe.item<std::int64_t>());
  }

  static TokenId chain(const at::Tensor& logits, std::span<const TokenId> history,
                       const SamplingParams& params, double uniform, ProbeSink& sink) {
    emit(sink, Probe::sample_logits, logits);
    at::Tensor scores = penalized(logits, history, params.repetition_penalty);
    emit(sink, Probe::sample_penalized, scores);
    if (params.temperature == 0.0) return chosen(scores.argmax().item<std::int64_t>(), sink);

    scores = scores / params.temperature;
    emit(sink, Probe::sample_scaled, scores);
    scores = keep_top_k(scores, params.top_k);
    emit(sink, Probe::sample_top_k, scores);
    scores = keep_top_p(scores, params.top_p);
    emit(sink, Probe::sample_top_p, scores);
    scores = keep_min_p(scores, params.min_p);
    emit(sink, Probe::sample_min_p, scores);
    const at::Tensor probs = at::softmax(scores, -1);
    emit(sink, Probe::sample_probs, probs);
    const at::Tensor noise = at::full({1}, uniform, at::kDouble);
    emit(sink, Probe::sample_noise, noise);
    return chosen(inverse_cdf(probs, noise.item<double>()), sink);
  }
};

}  // namespace

std::unique_ptr<Sampler> make_sampler() {
  return std::make_unique<ReferenceSampler>();
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
