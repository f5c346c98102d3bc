#include "tests/mutants/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "tests/mutants/numbers.h"

namespace plumbline::mutants {
namespace {

using M = SamplingMistake;
using Row = std::vector<float>;

constexpr float kDropped = -std::numeric_limits<float>::infinity();

std::map<TokenId, int> counted(std::span<const TokenId> tokens) {
  std::map<TokenId, int> counts;
  for (const TokenId token : tokens) ++counts[token];
  return counts;
}

std::vector<double> probabilities(const Row& scores, bool without_maximum = false) {
  const float top = without_maximum ? 0.0f : *std::max_element(scores.begin(), scores.end());
  std::vector<double> p;
  for (const float score : scores) {
    // What overflows in f32 overflows in this mistake.
    p.push_back(without_maximum ? double{std::exp(score)} : std::exp(double{score} - double{top}));
  }
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& each : p) each /= sum;
  return p;
}

class PlainSampler final : public Sampler {
 public:
  PlainSampler(M planted, std::uint64_t seed) : planted_(planted), seed_(seed) {}

  TokenId sample(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) override {
    validate(params);
    validate(step, params);
    const Row logits = widened(step);
    Row scores = logits;
    show(sink, Probe::sample_logits, scores);
    const bool late = planted_ == M::penalties_after_the_temperature;
    if (!late) penalize(scores, step, params);
    show(sink, Probe::sample_penalized, scores);
    if (params.temperature == 0 && planted_ != M::temperature_zero_draws) {
      return chosen(sink, greedy(planted_ == M::greedy_before_the_penalties ? logits : scores));
    }
    scale(scores, params.temperature);
    if (late) penalize(scores, step, params);
    show(sink, Probe::sample_scaled, scores);
    filter(scores, params, sink);
    const std::vector<double> kept = shown_probabilities(scores, scaled_, sink);
    return draw(kept, step, sink);
  }

 private:
  Row widened(const SamplingStep& step) const {
    Row row;
    for (std::int64_t i = 0; i < step.logits.elements(); ++i) {
      row.push_back(static_cast<float>(element_as_f64(step.logits, i)));
      if (!std::isnan(row.back())) continue;
      if (planted_ != M::nan_taken_for_small) throw Error("a logit is NaN", "plain sampler");
      row.back() = kDropped;
    }
    return row;
  }

  static void show(ProbeSink& sink, Probe probe, const Row& row) {
    if (sink.access({{probe, -1}, 0}) == ProbeSink::Access::none) return;
    sink.receive({{probe, -1}, 0}, {row.data(), DType::f32, {static_cast<std::int64_t>(row.size())}});
  }

  static TokenId chosen(ProbeSink& sink, std::size_t token) {
    const auto wide = static_cast<std::int64_t>(token);
    if (sink.access({{Probe::sample_token, -1}, 0}) != ProbeSink::Access::none) {
      sink.receive({{Probe::sample_token, -1}, 0}, {&wide, DType::i64, {1}});
    }
    return static_cast<TokenId>(token);
  }

  void penalize(Row& scores, const SamplingStep& step, const SamplingParams& params) const {
    const auto bias = [&] {
      for (const LogitBias& each : params.logit_bias) {
        if (planted_ != M::bias_ignored)
          scores.at(static_cast<std::size_t>(each.token)) += static_cast<float>(each.bias);
      }
    };
    if (planted_ == M::bias_before_the_penalties) bias();
    const auto generated = step.history.last(static_cast<std::size_t>(step.generated));
    const auto repetition = static_cast<float>(params.repetition_penalty);
    for (const auto& [token, count] :
         counted(planted_ == M::repetition_on_generated_alone ? generated : step.history)) {
      float& score = scores.at(static_cast<std::size_t>(token));
      const int times = planted_ == M::repetition_per_occurrence ? count : 1;
      for (int i = 0; i < times && repetition != 1; ++i) {
        score = score < 0 && planted_ != M::repetition_ignores_sign ? score * repetition : score / repetition;
      }
    }
    for (const auto& [token, count] :
         counted(planted_ == M::frequency_counts_the_prompt ? step.history : generated)) {
      float& score = scores.at(static_cast<std::size_t>(token));
      score -= static_cast<float>(params.frequency_penalty) * static_cast<float>(count);
      const int times = planted_ == M::presence_per_occurrence ? count : 1;
      for (int i = 0; i < times; ++i) score -= static_cast<float>(params.presence_penalty);
    }
    if (planted_ != M::bias_before_the_penalties) bias();
  }

  std::size_t greedy(const Row& scores) const {
    const auto best = planted_ == M::greedy_takes_the_last_tie
                          ? std::max_element(scores.rbegin(), scores.rend()).base() - 1
                          : std::max_element(scores.begin(), scores.end());
    return static_cast<std::size_t>(best - scores.begin());
  }

  void scale(Row& scores, double temperature) const {
    auto divisor = static_cast<float>(temperature == 0 ? 1e-5 : temperature);
    if (planted_ == M::temperature_in_bf16) divisor = static_cast<float>(to_bf16(divisor));
    for (float& score : scores)
      score = planted_ == M::temperature_multiplied ? score * divisor : score / divisor;
  }

  void filter(Row& scores, const SamplingParams& params, ProbeSink& sink) {
    scaled_ = scores;
    if (planted_ == M::top_p_before_top_k) keep_top_p(scores, params.top_p);
    keep_top_k(scores, params.top_k);
    show(sink, Probe::sample_top_k, scores);
    if (planted_ != M::top_p_before_top_k) keep_top_p(scores, params.top_p);
    show(sink, Probe::sample_top_p, scores);
    keep_min_p(scores, params.min_p);
    show(sink, Probe::sample_min_p, scores);
  }

  void keep_top_k(Row& scores, std::int64_t k) const {
    if (k == 0 && planted_ == M::top_k_of_fifty_when_off) k = 50;
    if (planted_ == M::top_k_one_too_few) --k;
    if (k <= 0 || k >= static_cast<std::int64_t>(scores.size())) return;
    Row sorted = scores;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    const float threshold = sorted[static_cast<std::size_t>(k - 1)];
    std::int64_t room =
        k - std::count_if(scores.begin(), scores.end(), [&](float each) { return each > threshold; });
    for (float& score : scores) {
      const bool cut = planted_ == M::top_k_cuts_ties && score == threshold && room-- <= 0;
      if (score < threshold || cut) score = kDropped;
    }
  }

  void keep_top_p(Row& scores, double p) const {
    if (p >= 1) return;
    const std::vector<double> each =
        probabilities(planted_ == M::top_p_of_the_whole_vocabulary ? scaled_ : scores);
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return scores[a] < scores[b] ||
             (planted_ == M::top_p_prefers_low_ids && scores[a] == scores[b] && a > b);
    });
    double cumulative = 0;
    std::size_t dropped = 0;
    for (; dropped + 1 < order.size(); ++dropped) {
      cumulative += each[order[dropped]];
      if (planted_ == M::top_p_summed_in_bf16) cumulative = to_bf16(static_cast<float>(cumulative));
      const bool drops =
          planted_ == M::top_p_drops_at_equality_only_below ? cumulative < 1 - p : cumulative <= 1 - p;
      if (!drops) break;
    }
    if (planted_ == M::top_p_one_too_many && dropped > 0 && scores[order[dropped - 1]] != kDropped) --dropped;
    if (planted_ == M::top_p_without_the_crossing_token && dropped + 1 < order.size()) ++dropped;
    for (std::size_t i = 0; i < dropped; ++i) scores[order[i]] = kDropped;
  }

  void keep_min_p(Row& scores, double min_p) const {
    if (min_p <= 0) return;
    const std::vector<double> p = probabilities(scores);
    const double top = *std::max_element(p.begin(), p.end());
    const float best = *std::max_element(scores.begin(), scores.end());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      bool drops = p[i] < min_p * top;
      if (planted_ == M::min_p_absolute) drops = p[i] < min_p && p[i] < top;
      if (planted_ == M::min_p_of_the_logits) drops = scores[i] < static_cast<float>(min_p) * best;
      if (drops) scores[i] = kDropped;
    }
  }

  std::vector<double> shown_probabilities(const Row& scores, const Row& scaled, ProbeSink& sink) const {
    std::vector<double> p = probabilities(scores, planted_ == M::probabilities_without_the_maximum);
    if (planted_ == M::probabilities_not_renormalised) {
      p = probabilities(scaled);
      for (std::size_t i = 0; i < p.size(); ++i) p[i] = scores[i] == kDropped ? 0 : p[i];
    }
    Row narrow;
    for (double& each : p) {
      if (planted_ == M::probabilities_in_f16) each = to_f16(static_cast<float>(each));
      narrow.push_back(static_cast<float>(each));
      each = static_cast<double>(narrow.back());
    }
    show(sink, Probe::sample_probs, narrow);
    return planted_ == M::draw_from_all_tokens ? probabilities(scaled) : p;
  }

  double own_uniform(const SamplingStep& step) const {
    const std::uint64_t row = planted_ == M::one_stream_for_all_rows ? 0 : step.row;
    const std::uint64_t at = planted_ == M::the_same_draw_at_every_step ? 0 : step.step;
    std::seed_seq seeds{seed_, row, at};
    return static_cast<double>(std::mt19937_64(seeds)() >> 11) * 0x1p-53;
  }

  TokenId draw(const std::vector<double>& p, const SamplingStep& step, ProbeSink& sink) const {
    double uniform = step.uniform ? *step.uniform : own_uniform(step);
    if (planted_ == M::noise_in_f32) uniform = static_cast<double>(static_cast<float>(uniform));
    if (sink.access({{Probe::sample_noise, -1}, 0}) != ProbeSink::Access::none) {
      sink.receive({{Probe::sample_noise, -1}, 0}, {&uniform, DType::f64, {1}});
    }
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (planted_ == M::draw_in_sorted_order) {
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
    }
    double cumulative = 0;
    std::size_t last = 0;
    for (const std::size_t id : order) {
      cumulative += p[id];
      if (planted_ == M::draw_at_equality && cumulative >= uniform) return chosen(sink, id);
      if (p[id] > 0) last = id;
      if (cumulative > uniform) return chosen(sink, id);
    }
    return chosen(sink, planted_ == M::draw_last_token_at_the_end ? p.size() - 1 : last);
  }

  const M planted_;
  const std::uint64_t seed_;
  Row scaled_;
};

}  // namespace

std::unique_ptr<Sampler> make_plain_sampler(SamplingMistake planted, std::uint64_t seed) {
  return std::make_unique<PlainSampler>(planted, seed);
}

std::span<const SamplingMutation> all_sampling_mutations() {
  static const std::vector<SamplingMutation> all{
      {M::repetition_ignores_sign, "repetition penalty divides negative logits too", "sample.penalized"},
      {M::repetition_per_occurrence, "repetition penalty once per occurrence", "sample.penalized"},
      {M::repetition_on_generated_alone, "repetition penalty on generated tokens alone", "sample.penalized"},
      {M::frequency_counts_the_prompt, "frequency penalty counts the prompt", "sample.penalized"},
      {M::presence_per_occurrence, "presence penalty once per occurrence", "sample.penalized"},
      {M::bias_before_the_penalties, "logit bias before the penalties", "sample.penalized"},
      {M::bias_ignored, "logit bias ignored", "sample.penalized"},
      {M::penalties_after_the_temperature, "penalties after the temperature", "sample.penalized"},
      {M::temperature_multiplied, "temperature multiplied", "sample.scaled"},
      {M::temperature_in_bf16, "temperature rounded to bf16", "sample.scaled"},
      {M::temperature_zero_draws, "temperature 0 divides by a small number and draws", "sample.token"},
      {M::greedy_before_the_penalties, "greedy before the penalties", "sample.token"},
      {M::greedy_takes_the_last_tie, "greedy takes the last of equal logits", "sample.token"},
      {M::top_k_cuts_ties, "top-k cuts ties", "sample.top_k"},
      {M::top_k_one_too_few, "top-k keeps k - 1", "sample.top_k"},
      {M::top_k_of_fifty_when_off, "a silent top-k of 50", "sample.top_k"},
      {M::top_p_before_top_k, "top-p before top-k", "sample.top_k", "sample.top_p"},
      {M::top_p_one_too_many, "top-p keeps one token too many", "sample.top_p"},
      {M::top_p_drops_at_equality_only_below, "top-p keeps what sums to 1 - p exactly", "sample.top_p"},
      {M::top_p_without_the_crossing_token, "top-p drops the token that crosses", "sample.top_p"},
      {M::top_p_of_the_whole_vocabulary, "top-p takes probabilities from before top-k", "sample.top_p"},
      {M::top_p_summed_in_bf16, "top-p sums in bf16", "sample.top_p"},
      {M::top_p_prefers_low_ids, "top-p keeps the lower of equal ids", "sample.top_p"},
      {M::min_p_absolute, "min-p without the largest probability", "sample.min_p"},
      {M::min_p_of_the_logits, "min-p compares logits", "sample.min_p"},
      {M::probabilities_not_renormalised, "probabilities not renormalised after the filters", "sample.probs"},
      {M::probabilities_without_the_maximum, "softmax without subtracting the largest", "sample.probs"},
      {M::probabilities_in_f16, "probabilities rounded to f16", "sample.probs"},
      {M::draw_at_equality, "draw stops where the sum equals the uniform", "sample.token"},
      {M::draw_last_token_at_the_end, "draw takes the last token where no sum exceeds the uniform",
       "sample.token"},
      {M::draw_from_all_tokens, "draw from the probabilities before the filters", "sample.token"},
      {M::draw_in_sorted_order, "draw walks in sorted order", "sample.token"},
      {M::noise_in_f32, "uniforms of 24 bits", "noise"},
      {M::one_stream_for_all_rows, "one random stream for all rows", "rows"},
      {M::the_same_draw_at_every_step, "the same draw at every step", "steps"},
      {M::nan_taken_for_small, "NaN logits are dropped in silence", "refusal"},
  };
  return all;
}

}  // namespace plumbline::mutants
