#include "tests/impl/sampling_support.h"

#include <cmath>
#include <limits>

#include "tests/impl/support.h"

namespace plumbline::native::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

template <typename Score>
Floats each(std::size_t vocab, const Score& score) {
  Floats scores(vocab);
  for (std::size_t i = 0; i < vocab; ++i) scores[i] = score(i);
  return scores;
}

}  // namespace

void StageSink::receive(const ProbeId& id, const TensorView& view) {
  order.push_back(site_name(id.site));
  seen[order.back()] = copy_host(view);
}

Floats StageSink::floats(const std::string& name) const {
  const auto values = seen.at(name).values<float>();
  return {values.begin(), values.end()};
}

SamplingStep step_of(const Floats& logits, std::span<const TokenId> history, std::optional<double> uniform) {
  return {{logits.data(), DType::f32, {static_cast<std::int64_t>(logits.size())}}, history, 0, uniform};
}

SamplingParams at_temperature(double temperature) {
  SamplingParams params;
  params.temperature = temperature;
  return params;
}

Ids kept(const Floats& scores) {
  Ids ids;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] > -kInf) ids.push_back(static_cast<TokenId>(i));
  }
  return ids;
}

Floats dense(const Candidates& candidates, std::size_t vocab) {
  Floats scores(vocab);
  candidates.scatter(scores);
  return scores;
}

std::map<std::string, Floats> awkward_rows(std::size_t vocab, unsigned seed) {
  const Floats normal = random_floats(vocab, seed);
  const auto shuffled = [&](std::size_t i) { return (i * 7919 + seed) % vocab; };  // not sorted by id
  std::map<std::string, Floats> rows;
  rows["normal"] = each(vocab, [&](std::size_t i) { return 3 * normal[i]; });
  rows["ties"] = each(vocab, [&](std::size_t i) { return std::floor(2 * normal[i]); });
  rows["equal"] = Floats(vocab, -0.75f);
  rows["outlier above"] = each(vocab, [&](std::size_t i) { return i == vocab / 3 ? 1e30f : normal[i]; });
  rows["outlier below"] = each(vocab, [&](std::size_t i) { return i == vocab / 3 ? -1e30f : normal[i]; });
  rows["geometric, halves"] =
      each(vocab, [&](std::size_t i) { return -std::log(2.0f) * static_cast<float>(shuffled(i)); });
  rows["geometric, slow"] =
      each(vocab, [&](std::size_t i) { return -0.003f * static_cast<float>(shuffled(i)); });
  rows["clusters"] = each(
      vocab, [&](std::size_t i) { return (i % 3 == 0 ? -40.0f : 0.0f) + 1e-3f * std::floor(4 * normal[i]); });
  rows["smallest numbers"] = each(vocab, [&](std::size_t i) {
    return std::numeric_limits<float>::denorm_min() * static_cast<float>(shuffled(i) % 9);
  });
  rows["holes"] = each(vocab, [&](std::size_t i) { return i % 3 == 1 ? -kInf : normal[i]; });
  rows["wide"] =
      each(vocab, [&](std::size_t i) { return 1e38f * std::fmin(std::fmax(normal[i], -2.0f), 2.0f); });
  return rows;
}

}  // namespace plumbline::native::testing
