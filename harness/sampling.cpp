#include "harness/sampling.h"

#include <fmt/format.h>

namespace plumbline {
namespace {

void check(bool ok, const char* name, double value, const char* hint) {
  if (!ok) throw Error(fmt::format("{} is {}", name, value), "sampling parameters", hint);
}

}  // namespace

void validate(const SamplingParams& p) {
  check(p.temperature >= 0.0 && p.temperature < 1e30, "temperature", p.temperature,
        "0 for greedy, or a positive number");
  check(p.top_k >= 0, "top_k", static_cast<double>(p.top_k), "0 turns it off");
  check(p.top_p >= 0.0 && p.top_p <= 1.0, "top_p", p.top_p, "between 0 and 1");
  check(p.min_p >= 0.0 && p.min_p <= 1.0, "min_p", p.min_p, "between 0 and 1");
  check(p.repetition_penalty > 0.0 && p.repetition_penalty < 1e30, "repetition_penalty", p.repetition_penalty,
        "a positive number; 1 turns it off");
}

}  // namespace plumbline
