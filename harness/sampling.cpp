#include "harness/sampling.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace plumbline {
namespace {

void check(bool ok, const char* name, double value, const char* hint) {
  if (!ok) throw Error(fmt::format("{} is {}", name, value), "sampling parameters", hint);
}

bool finite(double value) {
  return std::fabs(value) < 1e30;  // also within f32's range
}

void validate_biases(std::span<const LogitBias> biases) {
  for (const LogitBias& each : biases) {
    check(each.bias < 1e30, "a logit bias", each.bias, "a number, or -inf to ban a token");
    const auto same = [&](const LogitBias& other) { return other.token == each.token; };
    if (std::ranges::count_if(biases, same) > 1) {
      throw Error(fmt::format("token {} has more than one logit bias", each.token), "sampling parameters");
    }
  }
}

void validate_token(TokenId token, std::int64_t vocab, const char* where) {
  if (token >= 0 && token < vocab) return;
  throw Error(fmt::format("token {} is outside the vocabulary of {}", token, vocab), where);
}

}  // namespace

void validate(const SamplingParams& p) {
  check(p.temperature >= 0.0 && finite(p.temperature), "temperature", p.temperature,
        "0 for greedy, or a positive number");
  check(p.top_k >= 0, "top_k", static_cast<double>(p.top_k), "0 turns it off");
  check(p.top_p >= 0.0 && p.top_p <= 1.0, "top_p", p.top_p, "between 0 and 1");
  check(p.min_p >= 0.0 && p.min_p <= 1.0, "min_p", p.min_p, "between 0 and 1");
  check(p.repetition_penalty > 0.0 && finite(p.repetition_penalty), "repetition_penalty",
        p.repetition_penalty, "a positive number; 1 turns it off");
  check(finite(p.presence_penalty), "presence_penalty", p.presence_penalty, "a number; 0 turns it off");
  check(finite(p.frequency_penalty), "frequency_penalty", p.frequency_penalty, "a number; 0 turns it off");
  validate_biases(p.logit_bias);
}

void validate(const SamplingStep& step, const SamplingParams& params) {
  const std::int64_t vocab = step.logits.shape.rank() == 1 ? step.logits.elements() : 0;
  if (vocab == 0) throw Error("there are no logits", "sample", "one for each token of the vocabulary");
  const DType dtype = step.logits.dtype;
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16) {
    throw Error(fmt::format("logits are {}", dtype_name(dtype)), "sample", "f32, bf16 or f16");
  }
  require(step.generated >= 0 && step.generated <= static_cast<std::int64_t>(step.history.size()),
          "sample: more generated tokens than history");
  for (const TokenId token : step.history) validate_token(token, vocab, "sample: history");
  for (const LogitBias& each : params.logit_bias) validate_token(each.token, vocab, "sample: logit bias");
  if (!step.uniform) return;
  const bool inside = *step.uniform >= 0.0 && *step.uniform < 1.0;
  if (!inside) throw Error(fmt::format("the uniform is {}", *step.uniform), "sample", "from 0 to below 1");
}

}  // namespace plumbline
