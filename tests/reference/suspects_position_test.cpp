// Mistakes of frequencies, cos and sin, and rotations, planted and named.
#include <cmath>

#include <catch2/catch.hpp>

#include "tests/reference/suspects.h"

using namespace plumbline;
using test::Stage;

namespace {

using Values = std::vector<float>;
constexpr std::size_t kDim = 10, kHalf = 5, kHeads = 4, kRows = 9;  // small_config()
const std::string kQuery = "model.layers.1.self_attn.q_rope", kProjected = "model.layers.1.self_attn.q_proj";

Stage& stage() {
  static Stage made(test::small_config());
  return made;
}

float frequency(std::size_t i, double theta = 1e4) {
  return static_cast<float>(std::pow(theta, -2.0 * static_cast<double>(i) / kDim));
}

// cos and sin of [tokens, head_dim].
struct Table {
  Values cos, sin;
};

template <typename Position>
Table table_of(std::size_t rows, Position position, double theta = 1e4) {
  const Values own = stage().get("model.rotary_emb.inv_freq");
  Table table;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < kDim; ++i) {
      const float angle =
          static_cast<float>(position(row)) * (theta == 1e4 ? own[i % kHalf] : frequency(i % kHalf, theta));
      table.cos.push_back(static_cast<float>(std::cos(static_cast<double>(angle))));
      table.sin.push_back(static_cast<float>(std::sin(static_cast<double>(angle))));
    }
  }
  return table;
}

Table recorded() {
  return {stage().get("model.rotary_emb.cos"), stage().get("model.rotary_emb.sin")};
}

// Rotates each head of [tokens, heads, head_dim] by halves.
Values rotated(const Values& x, const Table& table, float sign = 1) {
  Values y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t row = i / (kHeads * kDim), channel = i % kDim;
    const bool first = channel < kHalf;
    const float partner = first ? -x[i + kHalf] : x[i - kHalf];
    y[i] = x[i] * table.cos[row * kDim + channel] + sign * partner * table.sin[row * kDim + channel];
  }
  return y;
}

// The same by pairs; frequency i of pair i, or as the table of halves has them.
Values rotated_in_pairs(const Values& x, const Table& table, bool own_table) {
  Values y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t row = i / (kHeads * kDim), channel = i % kDim;
    const std::size_t at = row * kDim + (own_table ? channel / 2 : channel);
    const float partner = channel % 2 == 0 ? -x[i + 1] : x[i - 1];
    y[i] = x[i] * table.cos[at] + partner * table.sin[at];
  }
  return y;
}

std::string first(const Values& values, std::size_t step = 0) {
  return stage().first(kQuery, values, step);
}

}  // namespace

TEST_CASE("suspects of rotations: pairs", "[reference][suspects]") {
  const Values x = stage().get(kProjected);
  CHECK(first(rotated_in_pairs(x, recorded(), true)) == "rotary pairs interleaved");
  CHECK(first(rotated_in_pairs(x, recorded(), false)) == "rotary pairs interleaved, table of halves");
  Table for_pairs = recorded();
  for (std::size_t i = 0; i < for_pairs.cos.size(); ++i) {
    const std::size_t at = i / kDim * kDim + i % kDim / 2;
    for_pairs.cos[i] = recorded().cos[at];
    for_pairs.sin[i] = recorded().sin[at];
  }
  CHECK(first(rotated(x, for_pairs)) == "table laid out for pairs");
  Values gathered(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t channel = i % kDim;
    gathered[i] = x[i - channel + (channel % kHalf) * 2 + channel / kHalf];
  }
  CHECK(first(rotated(gathered, recorded())) == "channels de-interleaved before the rotation");
}

TEST_CASE("suspects of rotations: the rotation", "[reference][suspects]") {
  const Values x = stage().get(kProjected);
  const Table table = recorded();
  CHECK(first(rotated(x, table)) == "none fits");
  CHECK(first(rotated(x, table, -1)) == "rotary sign flipped");
  CHECK(first(x) == "not rotated");
  CHECK(first(rotated(rotated(x, table), table)) == "rotated twice");
  CHECK(first(rotated(x, {table.sin, table.cos})) == "cos and sin swapped");
  Values same = x, in_place = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t row = i / (kHeads * kDim), channel = i % kDim;
    const float cos = table.cos[row * kDim + channel], sin = table.sin[row * kDim + channel];
    same[i] = x[i] * cos + x[channel < kHalf ? i + kHalf : i - kHalf] * sin;
    in_place[i] = channel < kHalf ? x[i] * cos - x[i + kHalf] * sin : x[i] * cos + in_place[i - kHalf] * sin;
  }
  CHECK(first(same) == "both halves with the same sign");
  CHECK(first(in_place) == "rotated in place");
  const Values bias = stage().weight("model.layers.1.self_attn.q_proj.bias");
  Values bare = x;
  for (std::size_t i = 0; i < x.size(); ++i) bare[i] -= bias[i % (kHeads * kDim)];
  Values late = rotated(bare, table);
  for (std::size_t i = 0; i < x.size(); ++i) late[i] += bias[i % (kHeads * kDim)];
  CHECK(first(late) == "rotation before the bias");
  Values loop = x, partial = x;
  const Values whole = rotated(x, table);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t at = i / (kHeads * kDim) * kDim, channel = i % kDim;
    if (channel % kHalf < 2) loop[i] = whole[i];
    if (channel >= 4) continue;  // channels 0 and 2, 1 and 3
    partial[i] =
        x[i] * table.cos[at + channel] + (channel < 2 ? -x[i + 2] : x[i - 2]) * table.sin[at + channel];
  }
  CHECK(first(loop) == "half of each head rotated");
  CHECK(first(partial) == "only the first half of each head's channels rotated");
  Values one_head = x;
  const Values all_heads = rotated(x, table);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i % (kHeads * kDim) < kDim) one_head[i] = all_heads[i];
  }
  CHECK(first(one_head) == "only the first head rotated");
  Values exchanged(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t row = i / (kHeads * kDim), head = i / kDim % kHeads, channel = i % kDim;
    exchanged[i] = x[row * kHeads * kDim + channel * kHeads + head];
  }
  CHECK(first(rotated(exchanged, table)) == "heads and channels exchanged");
}

TEST_CASE("suspects of rotations: positions and precision", "[reference][suspects]") {
  const Values x = stage().get(kProjected), later = stage().get(kProjected, 1);  // from position 9 on
  const auto at = [&](auto position) { return first(rotated(x, table_of(kRows, position))); };
  CHECK(at([](std::size_t row) { return row + 1; }) == "positions one ahead");
  CHECK(at([](std::size_t row) { return static_cast<int>(row) - 1; }) == "positions one behind");
  CHECK(first(rotated(later, table_of(4, [](std::size_t row) { return row; })), 1) ==
        "positions restart at 0");
  CHECK(first(rotated(later, table_of(4, [](std::size_t) { return 9; })), 1) ==
        "one position for the whole step");
  const Table table = recorded();
  CHECK(first(rotated(x, {test::rounded(table.cos, 8), test::rounded(table.sin, 8)})) == "bf16 cos and sin");
  CHECK(first(rotated(x, {test::rounded(table.cos, 11), test::rounded(table.sin, 11)})) == "f16 cos and sin");
  CHECK(first(rotated(test::rounded(x, 8), table)) == "bf16 inputs");
  CHECK(first(rotated(test::rounded(x, 11), table)) == "f16 inputs");
}

TEST_CASE("suspects of positions that were rounded to a half type", "[reference][suspects]") {
  // Whole numbers beyond 256 need more than 8 bits.
  nlohmann::json config = test::small_config();
  config["max_position_embeddings"] = 512;
  Stage far(config, {300});
  const Values x = far.get(kProjected);
  const auto position = [](std::size_t row) { return test::rounded(static_cast<float>(row), 8); };
  CHECK(far.first(kQuery, rotated(x, table_of(300, position))) == "positions rounded to bf16");
  CHECK(far.first("model.rotary_emb.sin", table_of(300, position).sin) == "positions rounded to bf16");
}

TEST_CASE("suspects of cos and sin", "[reference][suspects]") {
  const std::string cos = "model.rotary_emb.cos", sin = "model.rotary_emb.sin";
  const Table right = recorded();
  const auto plain = [](std::size_t row) { return row; };
  CHECK(stage().first(cos, right.sin) == "cos and sin swapped");
  CHECK(stage().first(sin, right.cos) == "cos and sin swapped");
  CHECK(stage().first(cos, table_of(kRows, [](std::size_t row) { return row + 1; }).cos) ==
        "positions one ahead");
  CHECK(stage().first(sin, table_of(kRows, plain, 1e6).sin) == "rope_theta 1000000");
  CHECK(stage().first(cos, table_of(kRows, plain, 5e5).cos) == "rope_theta 500000");
  CHECK(stage().first(cos, table_of(4, plain).cos, 1) == "positions restart at 0");
  CHECK(stage().first(cos, table_of(kRows, [](std::size_t row) {
                             return std::min<std::size_t>(row, 5);
                           }).cos) == "positions clamped at a table's end");
  CHECK(stage().first(sin, table_of(kRows, [](std::size_t row) {
                             return std::min<std::size_t>(row, 7);
                           }).sin) == "positions clamped at a table's end");
  CHECK(stage().first(cos, table_of(kRows, [](std::size_t row) { return row % 6; }).cos) ==
        "positions begin again at a table's end");
  CHECK(stage().first(sin, table_of(kRows, [](std::size_t row) { return row % 6; }).sin) ==
        "positions begin again at a table's end");
  CHECK(stage().named(cos, table_of(kRows, [](std::size_t) { return 0; }).cos) ==
        "one position for the whole step or first row in every place");
  Values pairs(right.cos.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = right.cos[i / kDim * kDim + i % kDim / 2];
  CHECK(stage().first(cos, pairs) == "table laid out for pairs");
  Values minus = right.sin;
  for (float& value : minus) value = -value;
  CHECK(stage().first(sin, minus) == "sign flipped");
  for (const int bits : {8, 11}) {
    Values y;
    for (std::size_t i = 0; i < kRows * kDim; ++i) {
      const float angle = static_cast<float>(i / kDim) * frequency(i % kHalf);
      y.push_back(static_cast<float>(std::cos(static_cast<double>(test::rounded(angle, bits)))));
    }
    CHECK(stage().first(cos, y) == (bits == 8 ? "bf16 angles" : "f16 angles"));
  }
}

TEST_CASE("suspects of frequencies", "[reference][suspects]") {
  const std::string probe = "model.rotary_emb.inv_freq";
  const auto named = [&](auto formula) {
    Values y;
    for (std::size_t i = 0; i < kHalf; ++i) y.push_back(static_cast<float>(formula(static_cast<double>(i))));
    return stage().first(probe, y);
  };
  CHECK(named([](double i) { return std::pow(1e6, -2 * i / kDim); }) == "rope_theta 1000000");
  CHECK(named([](double i) { return std::pow(5e5, -2 * i / kDim); }) == "rope_theta 500000");
  CHECK(named([](double i) { return std::pow(10001.0, -2 * i / kDim); }) == "rope_theta 10001");
  CHECK(named([](double i) { return std::pow(2.5e5, -2 * i / kDim); }) == "rope_theta 250000");
  CHECK(named([](double i) { return std::pow(1e4, -2 * i / kDim); }) == "none fits");
  CHECK(named([](double i) { return std::pow(1e4, -i / kDim); }) == "exponent i / head_dim");
  CHECK(named([](double i) { return std::pow(1e4, -2 * i / kHalf); }) == "exponent over half of head_dim");
  CHECK(named([](double i) { return std::pow(1e4, -2 * i / 24); }) == "exponent over hidden_size");
  CHECK(named([](double i) { return std::pow(1e4, -2 * (i + 1) / kDim); }) == "exponent counted from 1");
  CHECK(named([](double i) { return std::pow(1e4, 2 * i / kDim); }) == "reciprocal missing");
  CHECK(named([](double i) { return std::pow(1e4, -2 * (4 - i) / kDim); }) == "frequencies reversed");
}

TEST_CASE("suspects of YaRN", "[reference][suspects]") {
  nlohmann::json config = test::small_config();
  config["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}};
  Stage yarn(config);
  Values plain, linear;
  for (std::size_t i = 0; i < kHalf; ++i) {
    plain.push_back(frequency(i));
    linear.push_back(frequency(i) / 4);
  }
  const std::string probe = "model.rotary_emb.inv_freq";
  CHECK(yarn.first(probe, plain) == "YaRN left out");
  CHECK(yarn.first(probe, linear) == "linear scaling instead of YaRN");
  Values reversed = yarn.get(probe);
  for (std::size_t i = 0; i < kHalf; ++i) reversed[i] = plain[i] + linear[i] - reversed[i];
  CHECK(yarn.first(probe, reversed) == "YaRN's ramp reversed");
  Values cos = yarn.get("model.rotary_emb.cos");
  const double factor = 0.1 * std::log(4.0) + 1;
  for (float& value : cos) value = static_cast<float>(value / factor);
  CHECK(yarn.first("model.rotary_emb.cos", cos) == "YaRN's factor missing");
}
