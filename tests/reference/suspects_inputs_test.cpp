// Mistakes of ids, positions, masks and the cache, planted and named.
#include <cmath>

#include <catch2/catch.hpp>

#include "tests/reference/suspects.h"

using namespace plumbline;
using test::Stage;

namespace {

using Values = std::vector<float>;
constexpr std::size_t kHeads = 2, kDim = 10, kPast = 9, kNew = 4, kRow = kHeads * kDim;  // kv heads
const std::string kKey = "past_key_values.1.key", kValue = "past_key_values.1.value";
const std::string kAttention = "model.layers.1.self_attn.";

Stage& stage() {
  static Stage made(test::small_config());  // a window of 3 in layers 1 and 2
  return made;
}

template <typename Change>
Values changed(Values values, Change change) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(change(values[i], i));
  return values;
}

// A mask of the second step: queries 9 to 12, keys 0 to 12.
template <typename Allowed>
std::string mask(const std::string& probe, Allowed allowed) {
  Values values;
  for (int q = 9; q < 13; ++q) {
    for (int k = 0; k < 13; ++k) values.push_back(allowed(q, k) ? 1.0f : 0.0f);
  }
  return stage().first(probe, values, 1);
}

Values part(const Values& values, std::size_t first_row, std::size_t rows) {
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first_row * kRow);
  return {begin, begin + static_cast<std::ptrdiff_t>(rows * kRow)};
}

Values joined(Values a, const Values& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Rows from slot `first` on, rotated once more.
Values rotated(const Values& x, std::size_t first) {
  const Values inv_freq = stage().get("model.rotary_emb.inv_freq");
  return changed(x, [&](float value, std::size_t i) {
    const std::size_t channel = i % kDim;
    const float angle = static_cast<float>(first + i / kRow) * inv_freq[channel % 5];
    const float partner = channel < 5 ? -x[i + 5] : x[i - 5];
    return value * std::cos(angle) + partner * std::sin(angle);
  });
}

std::string key(const Values& values) {
  return stage().first(kKey, values, 1);
}

}  // namespace

TEST_CASE("suspects of token ids and positions", "[reference][suspects]") {
  const Values ids = stage().get("input_ids"), positions = stage().get("position_ids", 1);
  const auto shifted = [](const Values& values, float by) {
    return changed(values, [=](float value, std::size_t) { return value + by; });
  };
  CHECK(stage().first("input_ids", shifted(ids, 1)) == "ids one too large");
  CHECK(stage().first("input_ids", shifted(ids, -1)) == "ids one too small");
  CHECK(stage().first("input_ids", Values(ids.size(), ids.back())) == "last id for every row");
  const auto named = [&](const Values& values) { return stage().first("position_ids", values, 1); };
  CHECK(named(shifted(positions, 1)) == "positions one ahead");
  CHECK(named(shifted(positions, -1)) == "positions one behind");
  CHECK(named(shifted(positions, -9)) == "positions restart at 0");
  CHECK(named(shifted(positions, 9)) == "past counted twice");
  CHECK(named(shifted(positions, 5)) == "positions counted over pads");
  // The same, where the cache holds those five slots more.
  Stage stale(test::small_config(), {4});
  std::vector<std::int64_t> longer = stale.shape("past_key_values.0.key");
  longer[0] += 5;
  stale.replace("past_key_values.0.key", longer);
  CHECK(stale.named("position_ids", {5, 6, 7, 8}) == "cache length not reset");
  CHECK(named(Values(4, 9)) == "one position for the whole step");
  CHECK(named(Values(4, 0)) == "all positions 0");
}

TEST_CASE("suspects of masks", "[reference][suspects]") {
  const std::string full = "attention_mask.full", sliding = "attention_mask.sliding";
  CHECK(mask(full, [](int q, int k) { return k <= q; }) == "none fits");
  CHECK(mask(full, [](int q, int k) { return k <= q + 1; }) == "causal mask one token ahead");
  CHECK(mask(full, [](int q, int k) { return k < q; }) == "mask without self");
  CHECK(mask(full, [](int, int) { return true; }) == "no mask");
  CHECK(mask(full, [](int q, int k) { return k <= q && k >= 9; }) == "mask covers only new tokens");
  CHECK(mask(full, [](int q, int k) { return k <= q - 9; }) == "mask counts queries from 0");
  CHECK(mask(full, [](int q, int k) { return k >= q; }) == "mask transposed");
  CHECK(mask(full, [](int q, int k) { return k <= q && k > 0; }) == "first key dropped");
  CHECK(mask(full, [](int q, int k) { return k > q; }) == "mask inverted");
  CHECK(mask(full, [](int q, int k) { return k <= q && k > q - 3; }) == "window on the wrong layer");
  CHECK(mask(sliding, [](int q, int k) { return k <= q; }) == "no window");
  CHECK(mask(sliding, [](int q, int k) { return k <= q && k > q - 4; }) == "window one wider");
  CHECK(mask(sliding, [](int q, int k) { return k <= q && k > q - 2; }) == "window one narrower");
  CHECK(mask(sliding, [](int q, int k) { return k <= q + 1 && k > q - 3; }) == "causal mask one token ahead");
}

TEST_CASE("suspects of the cache: what was written", "[reference][suspects]") {
  const Values right = stage().get(kKey, 1), old = part(right, 0, kPast), rows = part(right, kPast, kNew);
  CHECK(key(joined(old, stage().get(kAttention + "v_proj", 1))) == "keys and values swapped");
  CHECK(stage().first(kValue, joined(part(stage().get(kValue, 1), 0, kPast), rows), 1) ==
        "keys and values swapped");
  CHECK(key(joined(old, stage().get(kAttention + "k_proj", 1))) == "keys not rotated");
  CHECK(key(joined(old, rotated(rows, kPast))) == "keys rotated twice");
  CHECK(key(joined(rotated(old, 0), rows)) == "cached keys rotated again");
  CHECK(key(rotated(right, 0)) == "all keys rotated again");
  const Values value = stage().get(kValue, 1);
  CHECK(stage().first(kValue, joined(part(value, 0, kPast), rotated(part(value, kPast, kNew), kPast)), 1) ==
        "values rotated");
  CHECK(key(stage().get("past_key_values.0.key", 1)) == "cache of the layer before");
  CHECK(key(stage().get("past_key_values.2.key", 1)) == "cache of the layer after");
  CHECK(stage().named(kKey, test::rounded(right, 8), 1).find("bf16 cache") == 0);
  CHECK(stage().named(kKey, test::rounded(right, 11), 1).find("f16 cache") == 0);
}

TEST_CASE("suspects of the cache: where it was written", "[reference][suspects]") {
  const Values right = stage().get(kKey, 1), old = part(right, 0, kPast), rows = part(right, kPast, kNew);
  const Values empty(kRow, 0.25f);  // what unwritten slots hold is nobody's business
  CHECK(key(joined(joined(old, empty), part(rows, 0, kNew - 1))) == "slot shifted by one");
  CHECK(key(joined(joined(part(old, 0, kPast - 1), rows), empty)) == "last slot overwritten");
  CHECK(key(joined(part(right, kPast + kNew - 1, 1), part(right, 0, kPast + kNew - 1))) ==
        "slots rotated by one");
  CHECK(key(joined(rows, old)) == "new rows in front");
  CHECK(key(joined(Values(old.size(), 0.0f), rows)) == "cached rows lost");
  CHECK(key(joined(old, Values(rows.size(), 0.0f))) == "new rows not written");
  CHECK(key(joined(joined(rows, part(old, kNew, kPast - kNew)), Values(rows.size(), 0.5f))) ==
        "written over the first slots");
  CHECK(key(joined(joined(part(old, 1, kPast - 1), empty), rows)) == "oldest row evicted");
  CHECK(key(joined(joined(part(old, kNew, kPast - kNew), Values(rows.size(), 0.5f)), rows)) ==
        "oldest rows evicted");
  // Without a past the first row is lost before the sequence's slots.
  const Values prefill = stage().get(kKey);
  CHECK_THAT(stage().named(kKey, joined(part(prefill, 1, kPast - 1), empty)),
             Catch::StartsWith("last slot overwritten"));
  // Rows of two heads, one head apart: each keeps its first head, and the last one both.
  Values memory = joined(old, Values(rows.size(), 0.5f));
  for (std::size_t row = 0; row < kNew; ++row) {
    const Values one = part(rows, row, 1);
    std::copy(one.begin(), one.end(), memory.begin() + static_cast<std::ptrdiff_t>((kPast + row) * kDim));
  }
  CHECK(key(memory) == "written with the stride of one head");
  const auto by_heads =
      [](const Values& values) {  // [slots, kv_heads, head_dim] as [kv_heads, slots, head_dim]
        const std::size_t slots = values.size() / kRow;
        Values made;
        for (std::size_t head = 0; head < kHeads; ++head) {
          for (std::size_t slot = 0; slot < slots; ++slot) {
            for (std::size_t i = 0; i < kDim; ++i) made.push_back(values[slot * kRow + head * kDim + i]);
          }
        }
        return made;
      };
  CHECK(key(joined(old, by_heads(rows))) == "written as [kv_heads, slots]");
  CHECK(key(by_heads(right)) == "read as [kv_heads, slots]");
  const auto head_of = [&](auto head) {
    return changed(right, [&](float, std::size_t i) {
      return right[i / kRow * kRow + head(i / kDim % kHeads) * kDim + i % kDim];
    });
  };
  CHECK(key(head_of([](std::size_t head) { return 1 - head; })) == "kv heads in reverse");
  CHECK(key(head_of([](std::size_t) { return std::size_t{0}; })) == "first kv head in every place");
}
