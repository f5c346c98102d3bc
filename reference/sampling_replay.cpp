#include "reference/sampling_replay.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "reference/sampler.h"

namespace plumbline::reference {
namespace {

constexpr double kUnit = 5.9604644775390625e-08;  // u = 2^-24

const Tensor& input_of(const SampledStages& recorded, Probe stage) {
  const auto found = recorded.find(stage);
  if (found == recorded.end()) {
    throw Error("was not recorded", std::string(probe_spec(stage).name), "the stage after it reads it");
  }
  return found->second;
}

class StageSink final : public ProbeSink {
 public:
  explicit StageSink(Probe wanted) : wanted_(wanted) {}
  Access access(const ProbeId& id) const override {
    return id.site.probe == wanted_ ? Access::read : Access::none;
  }
  void receive(const ProbeId&, const TensorView& view) override { seen = copy_host(view); }
  Tensor seen;

 private:
  Probe wanted_;
};

// The chain with one stage switched on, over that stage's input. Temperature 1 divides by 1: exact.
Replay by_reference_chain(Probe stage, const Tensor& input, std::span<const TokenId> history,
                          const SamplingParams& only) {
  StageSink sink(stage);
  make_sampler()->sample(input.values<float>(), history, only, 0.0, sink);
  Replay replay;
  replay.expected = to_f64(sink.seen.view());
  return replay;
}

SamplingParams neutral() {
  SamplingParams params;
  params.temperature = 1.0;
  return params;
}

// B = u p (D + sum p D + sqrt(n)/2 + 4) + 2^-126, D_j = |s_j - max s|, over the n kept places.
Replay softmax(const Tensor& input) {
  const std::span<const float> s = input.values<float>();
  const double top = *std::max_element(s.begin(), s.end());
  Replay replay;
  replay.expected = Tensor(DType::f64, input.shape());
  replay.bound = Tensor(DType::f64, input.shape());
  replay.allowed = Tensor(DType::boolean, input.shape());
  const std::span<double> p = replay.expected.values<double>(), bound = replay.bound.values<double>();
  const std::span<std::uint8_t> kept = replay.allowed.values<std::uint8_t>();
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    kept[i] = std::isfinite(s[i]) ? 1 : 0;
    p[i] = std::exp(s[i] - top);
    sum += p[i];
    count += kept[i];
  }
  double mean_distance = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    p[i] /= sum;
    if (kept[i] != 0) mean_distance += p[i] * (top - s[i]);
  }
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (kept[i] == 0) continue;
    bound[i] = kUnit * p[i] * ((top - s[i]) + mean_distance + std::sqrt(count) / 2 + 4) + 0x1p-126;
  }
  replay.trivial = count == 1;
  return replay;
}

// The first token whose cumulative probability in f64, in id order, exceeds the noise; the last positive one
// if none.
Replay draw(const Tensor& probabilities, double noise) {
  const std::span<const float> p = probabilities.values<float>();
  double cumulative = 0;
  std::int64_t token = -1;
  for (std::size_t i = 0; i < p.size() && cumulative <= noise; ++i) {
    if (!(p[i] > 0)) continue;
    cumulative += p[i];
    token = static_cast<std::int64_t>(i);
  }
  Replay replay;
  replay.expected = Tensor::from<std::int64_t>(DType::i64, Shape{1}, std::span(&token, 1));
  replay.trivial = std::count_if(p.begin(), p.end(), [](float x) { return x > 0; }) == 1;
  return replay;
}

Replay greedy(const Tensor& penalized) {
  const std::span<const float> logits = penalized.values<float>();
  const std::int64_t token =
      std::max_element(logits.begin(), logits.end()) - logits.begin();  // the first of equals
  Replay replay;
  replay.expected = Tensor::from<std::int64_t>(DType::i64, Shape{1}, std::span(&token, 1));
  return replay;
}

}  // namespace

Replay replay_stage(Probe stage, const SampledStages& recorded, std::span<const float> given_logits,
                    std::span<const TokenId> history, const SamplingParams& params) {
  SamplingParams only = neutral();
  switch (stage) {
    case Probe::sample_logits: {
      const auto vocab = static_cast<std::int64_t>(given_logits.size());
      Replay replay;
      replay.expected = to_f64(TensorView(given_logits.data(), DType::f32, Shape{vocab}));
      return replay;
    }
    case Probe::sample_penalized:
      only.repetition_penalty = params.repetition_penalty;
      return by_reference_chain(stage, input_of(recorded, Probe::sample_logits), history, only);
    case Probe::sample_scaled:
      only.temperature = params.temperature;
      return by_reference_chain(stage, input_of(recorded, Probe::sample_penalized), {}, only);
    case Probe::sample_top_k:
      only.top_k = params.top_k;
      return by_reference_chain(stage, input_of(recorded, Probe::sample_scaled), {}, only);
    case Probe::sample_top_p:
      only.top_p = params.top_p;
      return by_reference_chain(stage, input_of(recorded, Probe::sample_top_k), {}, only);
    case Probe::sample_min_p:
      only.min_p = params.min_p;
      return by_reference_chain(stage, input_of(recorded, Probe::sample_top_p), {}, only);
    case Probe::sample_probs:
      return softmax(input_of(recorded, Probe::sample_min_p));
    case Probe::sample_noise: {
      Replay replay;  // data: it must be what was injected, which the caller holds
      replay.expected = input_of(recorded, Probe::sample_noise);
      replay.trivial = true;
      return replay;
    }
    case Probe::sample_token:
      if (params.temperature == 0) return greedy(input_of(recorded, Probe::sample_penalized));
      return draw(input_of(recorded, Probe::sample_probs),
                  input_of(recorded, Probe::sample_noise).values<double>()[0]);
    default:
      throw InternalError("replay_stage: not a sampling probe");
  }
}

}  // namespace plumbline::reference
