#include "harness/exact_inputs.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

namespace plumbline {
namespace {

constexpr std::int64_t kExactInF32 = 1 << 24;
constexpr std::int64_t kNothing = 1ll << 53;

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

std::string place_name(const Shape& shape, std::int64_t logical_index) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(shape.rank()));
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[static_cast<std::size_t>(axis)] = logical_index % shape[axis];
    logical_index /= shape[axis];
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

template <typename Value>
void compare_all(ExactTally& tally, const std::string& where, const TensorView& actual,
                 std::span<const Value> expected) {
  ++tally.tensors;
  const auto count = static_cast<std::int64_t>(expected.size());
  tally.elements += count;
  if (count == 0 || actual.elements() != count) {
    tally.different += std::max<std::int64_t>(count, 1);
    if (tally.first.empty()) {
      tally.first = fmt::format("{} has {} elements where {} are right", where, actual.elements(), count);
    }
    return;
  }
  std::vector<double> values(expected.size());
  read_f64(actual, 0, values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == static_cast<double>(expected[i])) continue;  // false for NaN
    if (tally.different++ > 0 || !tally.first.empty()) continue;
    tally.first =
        fmt::format("at {} of {}: {} where {} is right",
                    place_name(actual.shape, static_cast<std::int64_t>(i)), where, values[i], expected[i]);
  }
}

}  // namespace

int small_integer(std::uint64_t key, std::int64_t index) {
  const std::uint64_t bits = mix(key + static_cast<std::uint64_t>(index) * 0x9e3779b97f4a7c15ull);
  return 2 * static_cast<int>(bits >> 60) - kLargestSmallInteger;
}

std::uint64_t integer_key(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix(hash);
}

void fill_with_small_integers(const MutableTensorView& view, std::uint64_t key) {
  require(view.dtype == DType::f32 && view.is_contiguous() && view.device.kind == DeviceKind::cpu,
          "fill_with_small_integers: contiguous f32 on the host");
  auto* const values = static_cast<float*>(view.mutable_data);
  for (std::int64_t i = 0; i < view.elements(); ++i) values[i] = static_cast<float>(small_integer(key, i));
}

Integers integers_of(const TensorView& view) {
  std::vector<double> values(static_cast<std::size_t>(view.elements()));
  read_f64(view, 0, values);
  Integers whole;
  whole.reserve(values.size());
  for (const double value : values) {
    const bool is_whole = std::fabs(value) < 0x1p53 && value == std::floor(value);  // false for NaN
    whole.push_back(is_whole ? static_cast<std::int64_t>(value) : kNothing);
  }
  return whole;
}

Integers integer_linear(std::span<const std::int64_t> x, std::span<const std::int8_t> weight,
                        std::span<const std::int8_t> bias, std::int64_t ins) {
  const auto depth = static_cast<std::size_t>(ins);
  require(ins > 0 && x.size() % depth == 0 && weight.size() % depth == 0, "integer_linear: shapes");
  const std::size_t rows = x.size() / depth, outs = weight.size() / depth;
  require(bias.empty() || bias.size() == outs, "integer_linear: bias");
  std::int64_t most = 0;
  for (const std::int64_t value : x) most = std::max(most, std::abs(value));
  require((most * ins + 1) * kLargestSmallInteger < kExactInF32, "integer_linear: not exact in f32");
  Integers y(rows * outs);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t out = 0; out < outs; ++out) {
      std::int64_t sum = bias.empty() ? 0 : bias[out];
      for (std::size_t in = 0; in < depth; ++in) sum += x[row * depth + in] * weight[out * depth + in];
      y[row * outs + out] = sum;
    }
  }
  return y;
}

Integers integer_sum(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  require(a.size() == b.size(), "integer_sum: lengths differ");
  Integers sum(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum[i] = a[i] + b[i];
    if (std::abs(sum[i]) >= kExactInF32) sum[i] = kNothing;
  }
  return sum;
}

Integers integer_mask(std::int64_t tokens, std::int64_t past, std::int64_t window) {
  Integers allowed;
  for (std::int64_t token = 0; token < tokens; ++token) {
    const std::int64_t own = past + token;
    for (std::int64_t key = 0; key < past + tokens; ++key) {
      allowed.push_back(key <= own && (window == 0 || own - key < window) ? 1 : 0);
    }
  }
  return allowed;
}

void ExactTally::compare(const std::string& where, const TensorView& actual,
                         std::span<const std::int64_t> expected) {
  compare_all(*this, where, actual, expected);
}

void ExactTally::compare(const std::string& where, const TensorView& actual,
                         std::span<const double> expected) {
  compare_all(*this, where, actual, expected);
}

}  // namespace plumbline
