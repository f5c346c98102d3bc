#include "harness/precision.h"

#include "harness/error.h"

namespace plumbline {

std::string_view rounding_name(Rounding rounding) {
  return rounding == Rounding::once ? "once" : "each";
}

Rounding rounding_from_name(std::string_view name) {
  for (const Rounding rounding : {Rounding::once, Rounding::each}) {
    if (name == rounding_name(rounding)) return rounding;
  }
  throw Error("unknown rounding '" + std::string(name) + "'", "rounding", "once or each");
}

DType kept_in(Probe probe, DType storage, const Precision& precision) {
  switch (probe) {
    case Probe::inv_freq:
      return DType::f32;
    case Probe::cos:
    case Probe::sin:
      return precision.rotary.value_or(storage);
    case Probe::scores:
      return precision.scores.value_or(storage);
    case Probe::probs:
      return precision.probs.value_or(storage);
    default:
      return storage;
  }
}

}  // namespace plumbline
