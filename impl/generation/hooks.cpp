#include "impl/generation/hooks.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/generation/step_logits.h"

namespace plumbline::native {
namespace {

// exp(x - max) of each, and their sum.
double exponentials(std::span<const float> logits, std::vector<double>& out) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  out.reserve(logits.size());
  for (const float each : logits) {
    out.push_back(std::exp(static_cast<double>(each) - largest));
    sum += out.back();
  }
  return sum;
}

}  // namespace

std::span<const float> TokenLogits::values() const {
  return source_ != nullptr ? source_->on_host() : values_;
}

std::vector<float> TokenEvent::probabilities() const {
  std::vector<double> weights;
  const double sum = exponentials(logits, weights);
  std::vector<float> out;
  out.reserve(weights.size());
  for (const double each : weights) out.push_back(static_cast<float>(each / sum));
  return out;
}

double TokenEvent::probability_of(TokenId wanted) const {
  if (wanted < 0 || static_cast<std::size_t>(wanted) >= logits.size()) {
    throw Error(fmt::format("token {} is not in the vocabulary of {}", wanted, logits.size()), "token event");
  }
  std::vector<double> weights;
  const double sum = exponentials(logits, weights);
  return weights[static_cast<std::size_t>(wanted)] / sum;
}

}  // namespace plumbline::native
