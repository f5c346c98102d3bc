#include "impl/mask.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "impl/memory.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

void check_window(std::optional<std::int64_t> window, std::string_view where) {
  if (window.value_or(1) < 1) throw Error(fmt::format("a window of {} shows no key", *window), where);
}

void check_sizes(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window) {
  constexpr std::string_view where = "attention mask";
  if (queries < 1) throw Error(fmt::format("{} queries: an empty mask allows nothing", queries), where);
  if (past < 0) throw Error(fmt::format("a past of {} tokens", past), where);
  if (past > kMost - queries || past + queries > kMost / queries) {
    throw Error(fmt::format("{} queries after {} tokens make more places than 64 bits count", queries, past),
                where);
  }
  check_window(window, where);
}

void check_filled(const TensorView& tensor, std::string_view where) {
  if (tensor.data == nullptr || tensor.shape.rank() == 0 || tensor.elements() < 1)
    throw Error("the mask is empty", where);
}

Tensor booleans(const Shape& shape, std::string_view where) {
  return with_memory(shape.to_string(), shape.elements(), where, "a mask grows with queries x keys",
                     [&] { return Tensor(DType::boolean, shape); });
}

// A wrong range must show as a wrong mask, not as a crash.
KeyRange within(KeyRange range, std::int64_t keys) {
  const std::int64_t end = std::clamp<std::int64_t>(range.end, 0, keys);
  return {std::clamp<std::int64_t>(range.begin, 0, end), end};
}

}  // namespace

KeyRange allowed_keys(std::int64_t query_position, std::optional<std::int64_t> window) {
  const std::int64_t first = window ? std::max(query_position - *window + 1, std::int64_t{0}) : 0;
  return {first, query_position + 1};
}

bool allowed(std::int64_t query_position_in_sequence, std::int64_t key_index,
             std::optional<std::int64_t> window) {
  const KeyRange range = allowed_keys(query_position_in_sequence, window);
  return key_index >= range.begin && key_index < range.end;
}

Tensor allowed_mask(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window) {
  check_sizes(queries, past, window);
  const std::int64_t keys = past + queries;
  Tensor mask = booleans({queries, keys}, "attention mask");
  auto* row = mask.values<std::uint8_t>().data();
  for (std::int64_t query = 0; query < queries; ++query, row += keys) {
    const KeyRange range = within(allowed_keys(past + query, window), keys);
    std::memset(row + range.begin, 1, static_cast<std::size_t>(range.end - range.begin));
  }
  return mask;
}

TensorView over_batch(const TensorView& mask, std::int64_t batch) {
  constexpr std::string_view where = "attention mask of a batch";
  check_filled(mask, where);
  if (batch < 1) throw Error(fmt::format("{} sequences", batch), where);
  if (mask.shape.rank() != 2) throw Error("is not [queries, keys]", where);
  const Shape strides{0, 0, mask.strides[0], mask.strides[1]};
  return {mask.data, mask.dtype, Shape{batch, 1, mask.shape[0], mask.shape[1]}, strides, mask.device};
}

Tensor padded_mask(const TensorView& real, std::int64_t queries, std::optional<std::int64_t> window) {
  constexpr std::string_view where = "padded attention mask";
  check_filled(real, where);
  if (real.shape.rank() != 2 || real.dtype != DType::boolean)
    throw Error("is not a boolean [batch, keys]", where);
  const std::int64_t batch = real.shape[0], keys = real.shape[1];
  if (queries < 1 || queries > keys)
    throw Error(fmt::format("{} queries of {} places", queries, keys), where);
  check_window(window, where);
  Tensor mask = booleans({batch, queries, keys}, where);
  auto* out = mask.values<std::uint8_t>().data();
  for (std::int64_t row = 0; row < batch * queries; ++row, out += keys) {
    const KeyRange range = within(allowed_keys(keys - queries + row % queries, window), keys);
    for (std::int64_t key = range.begin; key < range.end; ++key)
      out[key] = element_as_f64(real, row / queries * keys + key) != 0.0 ? 1 : 0;
  }
  return mask;
}

}  // namespace plumbline::native
