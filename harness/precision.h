// How an engine of half storage rounds on its way: what it keeps in another dtype than its storage, and how
// often an op rounds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "harness/dtype.h"
#include "harness/probe.h"

namespace plumbline {

enum class Rounding : std::uint8_t {
  once,  // an op computes in `compute` throughout, and rounds its output to storage
  each,  // as eager LibTorch: every elementary operation within an op rounds to storage
};

std::string_view rounding_name(Rounding rounding);   // "once", "each": a trace's metadata
Rounding rounding_from_name(std::string_view name);  // throws Error for an unknown name

// Beside the storage dtype. None: the storage dtype.
struct Precision {
  std::optional<DType> rotary;  // cos and sin are kept in
  std::optional<DType> scores;
  std::optional<DType> probs;
  Rounding rounding = Rounding::once;
};

// The dtype that an engine keeps a floating probe in, the caches excepted; inv_freq is f32 always.
DType kept_in(Probe probe, DType storage, const Precision& precision);

}  // namespace plumbline
