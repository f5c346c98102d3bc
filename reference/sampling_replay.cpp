#include "reference/sampling_replay.h"

#include <algorithm>
#include <string>
#include <vector>

#include "reference/sampler.h"
#include "reference/sampling_filters.h"

namespace plumbline::reference {
namespace {

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

bool is_constant(std::span<const double> values) {
  return std::ranges::all_of(values, [&](double value) { return value == values[0]; });
}

// The chain with one stage switched on, over that stage's input. Temperature 1 divides by 1: exact.
Replay by_reference_chain(Probe stage, const Tensor& input, const SamplingStep& given,
                          const SamplingParams& only) {
  StageSink sink(stage);
  SamplingStep step = given;
  step.logits = input.view();
  step.uniform = 0.0;
  make_sampler()->sample(step, only, sink);
  Replay replay;
  replay.expected = to_f64(sink.seen.view());
  replay.trivial = is_constant(replay.expected.values<double>());
  return replay;
}

SamplingParams neutral() {
  SamplingParams params;
  params.temperature = 1.0;
  return params;
}

bool has_penalties(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0 ||
         !params.logit_bias.empty();
}

// The input itself: of a stage that is off.
Replay unchanged(const Tensor& input) {
  Replay replay;
  replay.expected = to_f64(input.view());
  replay.trivial = is_constant(replay.expected.values<double>());
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

Replay replay_stage(Probe stage, const SampledStages& recorded, const SamplingStep& step,
                    const SamplingParams& params) {
  SamplingParams only = neutral();
  switch (stage) {
    case Probe::sample_logits:
      return unchanged(copy_host(step.logits));
    case Probe::sample_penalized: {
      const Tensor& input = input_of(recorded, Probe::sample_logits);
      only.repetition_penalty = params.repetition_penalty;
      only.presence_penalty = params.presence_penalty;
      only.frequency_penalty = params.frequency_penalty;
      only.logit_bias = params.logit_bias;
      return has_penalties(only) ? by_reference_chain(stage, input, step, only) : unchanged(input);
    }
    case Probe::sample_scaled: {
      const Tensor& input = input_of(recorded, Probe::sample_penalized);
      only.temperature = params.temperature;
      return only.temperature != 1 ? by_reference_chain(stage, input, step, only) : unchanged(input);
    }
    case Probe::sample_top_k: {
      const Tensor& input = input_of(recorded, Probe::sample_scaled);
      only.top_k = params.top_k;
      return only.top_k > 0 ? by_reference_chain(stage, input, step, only) : unchanged(input);
    }
    case Probe::sample_top_p: {
      const Tensor& input = input_of(recorded, Probe::sample_top_k);
      return params.top_p < 1 ? replay_top_p(input, params.top_p) : unchanged(input);
    }
    case Probe::sample_min_p: {
      const Tensor& input = input_of(recorded, Probe::sample_top_p);
      return params.min_p > 0 ? replay_min_p(input, params.min_p) : unchanged(input);
    }
    case Probe::sample_probs:
      return replay_sampling_softmax(input_of(recorded, Probe::sample_min_p));
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
