// Mistakes of linear layers and of what they load, planted and named.
#include <cmath>

#include <catch2/catch.hpp>

#include "tests/reference/suspects.h"

using namespace plumbline;
using test::linear;
using test::Stage;

namespace {

using Values = std::vector<float>;
constexpr std::size_t kHidden = 24, kRows = 9;
const std::string kLayer = "model.layers.1.";
const std::string kAttention = kLayer + "self_attn.";

Stage& stage() {
  static Stage made(test::square_config());
  return made;
}
Values weight(const std::string& name) {
  return stage().weight(name + ".weight");
}
Values bias(const std::string& name) {
  return stage().weight(name + ".bias");
}
Values normed() {
  return stage().get(kLayer + "input_layernorm");
}
std::string first(const std::string& probe, const Values& values) {
  return stage().first(probe, values);
}

Values times(Values values, float factor) {
  for (float& value : values) value *= factor;
  return values;
}

// Columns of both matrices that `keep` names.
template <typename Keep>
Values only(Values rows, std::size_t in, Keep keep) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!keep(i % in)) rows[i] = 0;
  }
  return rows;
}

}  // namespace

TEST_CASE("suspects of linear layers: weights and biases that were loaded wrong", "[reference][suspects]") {
  const Values x = normed(), w = weight(kAttention + "q_proj"), b = bias(kAttention + "q_proj");
  const std::string q = kAttention + "q_proj";
  CHECK(first(q, linear(x, w, {}, kHidden)) == "bias missing");
  CHECK(first(q, linear(x, w, times(b, 2), kHidden)) == "bias added twice");
  Values once = linear(x, w, {}, kHidden);
  for (std::size_t i = 0; i < kHidden; ++i) once[i] += b[i];
  CHECK(first(q, once) == "bias on the first row only");
  Values transposed(w.size());
  for (std::size_t i = 0; i < kHidden; ++i) {
    for (std::size_t j = 0; j < kHidden; ++j) transposed[i * kHidden + j] = w[j * kHidden + i];
  }
  CHECK(first(q, linear(x, transposed, b, kHidden)) == "weight transposed");
  const std::string k = kAttention + "k_proj", v = kAttention + "v_proj";
  CHECK(first(k, linear(x, weight(v), bias(v), kHidden)) == "weights of v_proj");
  CHECK(first(v, linear(x, weight(k), bias(k), kHidden)) == "weights of k_proj");
  CHECK(first(k, linear(x, weight(k), bias(v), kHidden)) == "bias of v_proj");
  const Values y = stage().get(kLayer + "post_attention_layernorm");
  const std::string gate = kLayer + "mlp.gate_proj", up = kLayer + "mlp.up_proj";
  CHECK(first(gate, linear(y, weight(up), {}, kHidden)) == "gate and up swapped");
  CHECK(first(up, linear(y, weight(gate), {}, kHidden)) == "gate and up swapped");
  CHECK(first(up, linear(y, weight("model.layers.0.mlp.up_proj"), {}, kHidden)) ==
        "weights of the layer before");
  CHECK(first(up, linear(y, weight("model.layers.2.mlp.up_proj"), {}, kHidden)) ==
        "weights of the layer after");
}

TEST_CASE("suspects of linear layers: the order of rows and the input", "[reference][suspects]") {
  const std::string q = kAttention + "q_proj", o = kAttention + "o_proj";
  const auto reorder = [](const Values& w, std::size_t in, bool to_interleaved) {  // 4 heads of 6
    Values made(w.size());
    for (std::size_t row = 0; row < 24; ++row) {
      const std::size_t head = row / 6, i = row % 6;
      const std::size_t source = to_interleaved ? (i % 2) * 3 + i / 2 : (i % 3) * 2 + i / 3;
      for (std::size_t k = 0; k < in; ++k) made[row * in + k] = w[(head * 6 + source) * in + k];
    }
    return made;
  };
  for (const bool to : {true, false}) {
    const Values y = linear(normed(), reorder(weight(q), kHidden, to), reorder(bias(q), 1, to), kHidden);
    CHECK(first(q, y) == (to ? "rows permuted for interleaved rotary pairs"
                             : "rows permuted back from interleaved rotary pairs"));
  }
  const Values context = stage().get(kAttention + "context");
  Values mixed(context.size());
  for (std::size_t i = 0; i < context.size(); ++i) {
    const std::size_t row = i / 24, head = i % 24 / 6, channel = i % 6;
    mixed[row * 24 + channel * 4 + head] = context[row * 24 + head * 6 + channel];
  }
  CHECK(first(o, linear(mixed, weight(o), {}, kHidden)) == "heads not put side by side");
  CHECK(first(q, linear(stage().get("model.layers.0.mlp_residual"), weight(q), bias(q), kHidden)) ==
        "input not normed");
  const std::string gate = kLayer + "mlp.gate_proj", down = kLayer + "mlp.down_proj";
  CHECK(first(gate, linear(stage().get(kLayer + "attn_residual"), weight(gate), {}, kHidden)) ==
        "input not normed");
  CHECK(first(down, linear(stage().get(kLayer + "mlp.up_proj"), weight(down), {}, 40)) == "reads up_proj");
  CHECK(first(down, linear(stage().get(gate), weight(down), {}, 40)) == "reads gate_proj");
}

TEST_CASE("suspects of lm_head", "[reference][suspects]") {
  const Values x = stage().get("model.norm"), w = weight("lm_head");
  CHECK(first("lm_head", linear(x, stage().weight("model.embed_tokens.weight"), {}, kHidden)) ==
        "lm_head tied to the embedding");
  CHECK(first("lm_head", linear(stage().get("model.layers.2.mlp_residual"), w, {}, kHidden)) ==
        "input not normed");
  const Values fewer(w.begin(), w.begin() + 48 * kHidden);
  const auto cut = stage().ranked("lm_head", linear(x, fewer, {}, kHidden), 0, {kRows, 48});
  REQUIRE_FALSE(cut.empty());
  CHECK(cut.front().name == "last rows of the vocabulary cut off");
  CHECK(cut.front().fits);
  Values capped = linear(x, w, {}, kHidden);
  for (float& y : capped) y = 30 * std::tanh(y / 30);
  CHECK(first("lm_head", capped) == "logits capped at 30");
}

TEST_CASE("suspects of linear layers: lost products", "[reference][suspects]") {
  const std::string down = kLayer + "mlp.down_proj", q = kAttention + "q_proj";
  const Values act = stage().get(kLayer + "mlp.act");  // 40 features
  const auto lost = [&](std::size_t from, std::size_t to) {
    const auto keep = [=](std::size_t k) { return k < from || k >= to; };
    return first(down, linear(only(act, 40, keep), weight(down), {}, 40));
  };
  CHECK(lost(39, 40) == "last product lost");
  CHECK(lost(36, 40) == "last 4 products lost");
  CHECK(lost(32, 40) == "last 8 products lost");
  CHECK(lost(24, 40) == "last 16 products lost");
  CHECK(lost(0, 1) == "first product lost");
  CHECK(lost(17, 18) == "one product lost");
  CHECK(lost(35, 40) == "last 5 products lost");
  CHECK(lost(20, 40) == "last 20 products lost");
  CHECK(lost(0, 20) == "first 20 products lost");
  CHECK(lost(10, 20) == "none fits");
  // Buffers that were not cleared.
  Values sums = stage().get(q);
  for (std::size_t i = kHidden; i < sums.size(); ++i) sums[i] += sums[i - kHidden];
  CHECK(first(q, sums) == "sums begin with the row before");
  Values onto = stage().get(q);
  const Values held = stage().get("model.layers.0.self_attn.q_proj");
  for (std::size_t i = 0; i < onto.size(); ++i) onto[i] += held[i];
  CHECK(first(q, onto) == "added to the layer before's output");
  // Outputs that were not computed.
  Values tile = stage().get(q);
  for (std::size_t i = 0; i < tile.size(); ++i) {
    if (i % kHidden >= 20) tile[i] = 0;
  }
  CHECK(first(q, tile) == "last 4 outputs left at zero");
  Values rows = stage().get(q);
  std::fill(rows.end() - 2 * static_cast<std::ptrdiff_t>(kHidden), rows.end(), 0.0f);
  CHECK(first(q, rows) == "last 2 rows left at zero");
}

TEST_CASE("suspects of linear layers: narrow arithmetic", "[reference][suspects]") {
  const std::string gate = kLayer + "mlp.gate_proj";
  const Values x = stage().get(kLayer + "post_attention_layernorm"), w = weight(gate);
  const auto cut = [](Values values) {
    for (float& value : values)
      value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffffe000u);
    return values;
  };
  using test::rounded;
  CHECK(first(gate, linear(rounded(x, 11), rounded(w, 11), {}, kHidden)).find("inputs") != std::string::npos);
  CHECK(stage().named(gate, linear(rounded(x, 11), rounded(w, 11), {}, kHidden)).find("TF32 inputs") == 0);
  CHECK(first(gate, linear(cut(x), cut(w), {}, kHidden)) == "TF32 (cut) inputs");
  CHECK(first(gate, linear(rounded(x, 8), rounded(w, 8), {}, kHidden)) == "bf16 inputs");
  CHECK(first(gate, linear(x, rounded(w, 8), {}, kHidden)) == "bf16 weights");
  CHECK(first(gate, linear(rounded(x, 8), w, {}, kHidden)) == "bf16 activations");
  CHECK(first(gate, linear(x, rounded(w, 11), {}, kHidden)) == "f16 weights");
  CHECK(first(gate, linear(rounded(x, 11), w, {}, kHidden)) == "f16 activations");
  CHECK(first(gate, rounded(stage().get(gate), 8)) == "output rounded to bf16");
  CHECK(first(gate, rounded(stage().get(gate), 11)) == "output rounded to f16");
  for (const int bits : {8, 11}) {
    Values y;
    for (std::size_t row = 0; row < kRows; ++row) {
      for (std::size_t o = 0; o < 40; ++o) {
        float sum = 0;
        for (std::size_t k = 0; k < kHidden; ++k) {
          sum = rounded(std::fma(x[row * kHidden + k], w[o * kHidden + k], sum), bits);
        }
        y.push_back(sum);
      }
    }
    CHECK(first(gate, y) == (bits == 8 ? "bf16 accumulation" : "f16 accumulation"));
  }
}

TEST_CASE("suspects that any op may have", "[reference][suspects]") {
  const std::string q = kAttention + "q_proj";
  const Values right = stage().get(q);
  CHECK(first(q, times(right, 0)) == "left at zero");
  CHECK(first(q, times(right, -1)) == "sign flipped");
  CHECK(first(q, times(right, 1.01f)) == "constant factor 1.01");
  const auto moved = [&](int by) {
    Values made = right;
    for (std::size_t i = 0; i < made.size(); ++i) {
      const int row = static_cast<int>(i / kHidden) - by;
      if (row >= 0 && row < static_cast<int>(kRows))
        made[i] = right[static_cast<std::size_t>(row) * kHidden + i % kHidden];
    }
    return made;
  };
  CHECK(first(q, moved(1)) == "rows one position late");
  CHECK(first(q, moved(-1)) == "rows one position early");
  Values same = right;
  for (std::size_t i = 0; i < same.size(); ++i) same[i] = right[i % kHidden];
  CHECK(first(q, same) == "first row in every place");
}

TEST_CASE("suspects: a mistake that is not listed fits none, and a right output is none either",
          "[reference][suspects]") {
  const std::string q = kAttention + "q_proj";
  Values odd = stage().get(q);
  for (std::size_t i = 0; i < odd.size(); ++i) odd[i] *= 1.0f + 0.1f * std::sin(static_cast<float>(i));
  CHECK(first(q, odd) == "none fits");
  Values one = stage().get(q);
  one[77] += 0.5f;
  CHECK(first(q, one) == "none fits");
  CHECK(first(q, stage().get(q)) == "none fits");
  Values lost = stage().get(q);
  lost[3] = std::nanf("");
  CHECK(first(q, lost) == "none fits");
}
