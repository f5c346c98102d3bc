#include "bench/sampler_ratios.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/peers/sampler_chains.h"
#include "harness/error.h"
#include "harness/sampling_judge.h"
#include "impl/rng.h"
#include "impl/sampler.h"

namespace plumbline::bench {
namespace {

constexpr std::size_t kVocab = 151'936;

template <typename Body>
double seconds(const Body& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Quartiles quartiles(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double part) {
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {at(0.25), at(0.5), at(0.75)};
}

// Normal deviates (Box and Muller) times `deviation`.
std::vector<float> random_logits(double deviation) {
  std::vector<float> logits;
  for (std::uint64_t i = 0; i < kVocab; ++i) {
    const double radius = std::sqrt(-2 * std::log1p(-native::uniform(1, 0, i)));
    logits.push_back(
        static_cast<float>(deviation * radius * std::cos(6.283185307179586 * native::uniform(1, 1, i))));
  }
  return logits;
}

std::int64_t count_kept(const Tensor& scores) {
  return std::ranges::count_if(scores.values<float>(), [](float score) { return std::isfinite(score); });
}

SamplerRatios compare_work(Sampler& sampler, SortedChain& sorted, const std::vector<float>& logits,
                           const SamplingParams& params) {
  const Shape shape{static_cast<std::int64_t>(kVocab)};
  const Draw draw = record_draw(sampler, {{logits.data(), DType::f32, shape}, {}, 0, 0.3}, params);
  require(draw.token == torch_chain(logits, params, 0.3), "the two chains draw another token");
  sorted.draw(logits, params, 0.3);
  SamplerRatios ratios;
  ratios.kept = count_kept(draw.stages.at(Probe::sample_top_p));
  ratios.kept_apart = std::abs(ratios.kept - sorted.kept());
  return ratios;
}

SamplerRatios measure(std::string what, const std::vector<float>& logits, const SamplingParams& params,
                      int rounds) {
  const std::unique_ptr<Sampler> sampler = native::make_sampler();
  SortedChain sorted;
  SamplerRatios ratios = compare_work(*sampler, sorted, logits, params);
  NullSink nothing;
  SamplingStep step{{logits.data(), DType::f32, {static_cast<std::int64_t>(kVocab)}}, {}};
  std::vector<double> times, over_torch, over_sort;
  for (int round = 0; round < rounds; ++round) {
    const double uniform = native::uniform(2, 0, static_cast<std::uint64_t>(round));
    step.uniform = uniform;
    const double sort = seconds([&] { sorted.draw(logits, params, uniform); });
    const double mine = seconds([&] { sampler->sample(step, params, nothing); });
    const double torch = seconds([&] { torch_chain(logits, params, uniform); });
    times.push_back(mine);
    over_torch.push_back(torch / mine);
    over_sort.push_back(sort / mine);
  }
  ratios.what = std::move(what);
  ratios.microseconds = quartiles(times).median * 1e6;
  ratios.torch = quartiles(over_torch);
  ratios.full_sort = quartiles(over_sort);
  return ratios;
}

}  // namespace

std::vector<SamplerRatios> measure_sampler(int rounds) {
  SamplingParams usual;
  usual.temperature = 0.7;
  usual.top_k = 20;
  usual.top_p = 0.8;
  SamplingParams wide;
  wide.temperature = 1;
  wide.top_p = 0.95;
  std::vector<SamplerRatios> all{
      measure("temperature 0.7, top-k 20, top-p 0.8", random_logits(3), usual, rounds),
      measure("top-p 0.95 alone, flat logits", random_logits(0.05), wide, rounds)};
  all[0].torch_target = 20;
  all[0].full_sort_target = 5;
  all[1].full_sort_target = 1;
  return all;
}

}  // namespace plumbline::bench
