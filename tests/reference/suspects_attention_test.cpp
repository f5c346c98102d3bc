// Mistakes of scores, softmax and context, planted and named.
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "tests/reference/suspects.h"

using namespace plumbline;
using test::Stage;

namespace {

using Values = std::vector<float>;
// small_config(): query head h reads kv head h / 2; layer 1 slides by 3, layer 0 does not.
constexpr std::size_t kHeads = 4, kKvHeads = 2, kDim = 10, kHidden = 24;
constexpr std::size_t kRows = 4, kKeys = 13, kPast = 9;  // of the second step
const float kScale = 1 / std::sqrt(10.0f);

Stage& stage() {
  static Stage made(test::small_config());
  return made;
}
std::string probe(const std::string& name, int layer = 0) {
  return "model.layers." + std::to_string(layer) + ".self_attn." + name;
}
Values keys(int layer = 0) {
  return stage().get("past_key_values." + std::to_string(layer) + ".key", 1);
}
Values values(int layer = 0) {
  return stage().get("past_key_values." + std::to_string(layer) + ".value", 1);
}
Values queries() {
  return stage().get(probe("q_rope"), 1);
}

std::size_t grouped(std::size_t head) {
  return head / 2;
}
std::size_t tiled(std::size_t head) {
  return head % 2;
}
std::size_t only_first(std::size_t) {
  return 0;
}

// [heads, queries, keys]
Values scores(const Values& q, const Values& k, float scale, std::size_t (*kv)(std::size_t) = grouped,
              std::size_t channels = kDim) {
  Values made;
  for (std::size_t head = 0; head < kHeads; ++head) {
    for (std::size_t row = 0; row < kRows; ++row) {
      for (std::size_t key = 0; key < kKeys; ++key) {
        float sum = 0;
        for (std::size_t i = 0; i < channels; ++i) {
          sum += q[(row * kHeads + head) * kDim + i] * k[(key * kKvHeads + kv(head)) * kDim + i];
        }
        made.push_back(sum * scale);
      }
    }
  }
  return made;
}

std::string score_name(const Values& made) {
  return stage().first(probe("scores"), made, 1);
}

// Softmax over the keys that allowed(q, k) names, q counted from the first token.
template <typename Allowed>
Values softmax(const Values& s, Allowed allowed) {
  Values made(s.size());
  for (std::size_t line = 0; line < s.size() / kKeys; ++line) {
    const int q = static_cast<int>(kPast + line % kRows);
    double largest = -1e300, sum = 0;
    for (std::size_t k = 0; k < kKeys; ++k) {
      if (allowed(q, static_cast<int>(k)))
        largest = std::max(largest, static_cast<double>(s[line * kKeys + k]));
    }
    for (std::size_t k = 0; k < kKeys; ++k) {
      if (allowed(q, static_cast<int>(k))) sum += std::exp(s[line * kKeys + k] - largest);
    }
    for (std::size_t k = 0; k < kKeys; ++k) {
      const bool here = allowed(q, static_cast<int>(k));
      made[line * kKeys + k] =
          here ? static_cast<float>(std::exp(s[line * kKeys + k] - largest) / sum) : 0.0f;
    }
  }
  return made;
}

bool causal(int q, int k) {
  return k <= q;
}
bool sliding(int q, int k) {
  return k <= q && k > q - 3;
}

template <typename Change>
Values changed(Values made, Change change) {
  for (float& value : made) value = static_cast<float>(change(value));
  return made;
}

// [queries, heads * head_dim]
Values context(const Values& p, const Values& v, std::size_t (*kv)(std::size_t) = grouped) {
  Values made(kRows * kHeads * kDim);
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t head = 0; head < kHeads; ++head) {
      for (std::size_t i = 0; i < kDim; ++i) {
        float sum = 0;
        for (std::size_t key = 0; key < kKeys; ++key) {
          sum += p[(head * kRows + row) * kKeys + key] * v[(key * kKvHeads + kv(head)) * kDim + i];
        }
        made[(row * kHeads + head) * kDim + i] = sum;
      }
    }
  }
  return made;
}

// Slots moved by one along a cache, round its end.
Values moved(const Values& cache, std::size_t by) {
  Values made(cache.size());
  constexpr std::size_t kRow = kKvHeads * kDim;
  for (std::size_t i = 0; i < cache.size(); ++i) made[(i + by * kRow) % cache.size()] = cache[i];
  return made;
}

}  // namespace

TEST_CASE("suspects of scores: the scale", "[reference][suspects]") {
  const auto with = [](float scale) { return score_name(scores(queries(), keys(), scale)); };
  CHECK(with(kScale) == "none fits");
  CHECK(with(1) == "scale missing");
  CHECK(with(0.1f) == "scale applied twice");
  CHECK(with(1 / std::sqrt(24.0f)) == "scale by hidden size");
  CHECK(with(1 / std::sqrt(40.0f)) == "scale by the size of all heads");
  CHECK(with(0.5f) == "scale by the number of heads");
  CHECK(with(1 / std::sqrt(5.0f)) == "scale by half of head_dim");
  CHECK(with(std::sqrt(10.0f)) == "scale inverted");
}

TEST_CASE("suspects of scores: what is read", "[reference][suspects]") {
  CHECK(score_name(scores(queries(), keys(), kScale, tiled)) == "kv heads tiled");
  CHECK(score_name(scores(queries(), keys(), kScale, only_first)) == "first kv head for every query head");
  Values unrotated = keys();
  const Values projected = stage().get(probe("k_proj"), 1);
  std::copy(projected.begin(), projected.end(), unrotated.begin() + kPast * kKvHeads * kDim);
  const Values q_proj = stage().get(probe("q_proj"), 1);
  CHECK(score_name(scores(queries(), unrotated, kScale)) == "keys not rotated");
  CHECK(score_name(scores(q_proj, keys(), kScale)) == "queries not rotated");
  CHECK(score_name(scores(q_proj, unrotated, kScale)) == "neither queries nor keys rotated");
  const Values inv_freq = stage().get("model.rotary_emb.inv_freq"), k = keys();
  Values again = k;
  for (std::size_t i = 0; i < k.size(); ++i) {
    const float angle = static_cast<float>(i / (kKvHeads * kDim)) * inv_freq[i % 5];
    again[i] = k[i] * std::cos(angle) + (i % kDim < 5 ? -k[i + 5] : k[i - 5]) * std::sin(angle);
  }
  CHECK(score_name(scores(queries(), again, kScale)) == "cached keys rotated again");
  CHECK(score_name(scores(queries(), values(), kScale)) == "values in place of keys");
  CHECK(score_name(scores(queries(), moved(keys(), 1), kScale)) == "keys one slot late");
  CHECK(score_name(scores(queries(), moved(keys(), kKeys - 1), kScale)) == "keys one slot early");
  CHECK(score_name(scores(queries(), keys(1), kScale)) == "keys of the layer after");
  CHECK(score_name(scores(queries(), keys(2), kScale)) == "keys of the last layer");
  CHECK(score_name(scores(queries(), keys(), kScale, grouped, kDim - 1)) == "last channel lost");
}

TEST_CASE("suspects of scores: narrow arithmetic", "[reference][suspects]") {
  using test::rounded;
  CHECK(score_name(scores(rounded(queries(), 8), rounded(keys(), 8), kScale)) == "bf16 inputs");
  const std::string named =
      stage().named(probe("scores"), scores(rounded(queries(), 11), rounded(keys(), 11), kScale), 1);
  CHECK(named.find("TF32 inputs") == 0);
  CHECK(score_name(changed(stage().get(probe("scores"), 1),
                           [](float s) { return 50 * std::tanh(s / 50.0); })) == "scores capped at 50");
  Values half = scores(queries(), keys(), 1);
  CHECK(score_name(changed(rounded(half, 11), [](float s) { return s * kScale; })) == "scores in f16");
  CHECK(score_name(rounded(stage().get(probe("scores"), 1), 8)) == "output rounded to bf16");
}

TEST_CASE("suspects of softmax: masks", "[reference][suspects]") {
  const auto named = [](int layer, auto allowed) {
    const Values made = softmax(stage().get(probe("scores", layer), 1), allowed);
    return stage().first(probe("probs", layer), made, 1);
  };
  CHECK(named(0, causal) == "none fits");
  CHECK(named(0, [](int q, int k) { return k <= q + 1; }) == "causal mask one token ahead");
  CHECK(named(0, [](int q, int k) { return k < q; }) == "mask without self");
  CHECK(named(0, [](int, int) { return true; }) == "no mask");
  CHECK(named(0, [](int q, int k) { return k <= q && k >= 9; }) == "mask covers only new tokens");
  CHECK(named(0, [](int q, int k) { return k <= q && k > 0; }) == "first key dropped");
  CHECK(named(0, sliding) == "window on the wrong layer");
  CHECK(named(1, causal) == "no window");
  CHECK(named(1, [](int q, int k) { return k <= q && k > q - 4; }) == "window one wider");
  CHECK(named(1, [](int q, int k) { return k <= q && k > q - 2; }) == "window one narrower");
  // The first step has queries without any key then: what stands there is left open.
  Values zeros = stage().get(probe("scores"), 1);
  for (std::size_t i = 0; i < zeros.size(); ++i) {
    if (!causal(static_cast<int>(kPast + i / kKeys % kRows), static_cast<int>(i % kKeys))) zeros[i] = 0;
  }
  CHECK(stage().first(probe("probs"), softmax(zeros, [](int, int) { return true; }), 1) ==
        "forbidden scores set to 0");
  for (std::size_t i = 0; i < zeros.size(); ++i) {
    if (!causal(static_cast<int>(kPast + i / kKeys % kRows), static_cast<int>(i % kKeys))) {
      zeros[i] = stage().get(probe("scores"), 1)[i] - 10;
    }
  }
  CHECK(stage().first(probe("probs"), softmax(zeros, [](int, int) { return true; }), 1) ==
        "mask too weak (-10)");
}

TEST_CASE("suspects of softmax: the formula", "[reference][suspects]") {
  const Values s = stage().get(probe("scores"), 1);
  const auto with = [&](auto change) {
    return stage().first(probe("probs"), softmax(changed(s, change), causal), 1);
  };
  CHECK(with([](float x) { return x * kScale; }) == "scale applied again");
  CHECK(with([](float x) { return x / kScale; }) == "scale undone");
  CHECK(with([](float x) { return x * std::log(2.0); }) == "powers of 2 instead of e");
  CHECK(with([](float x) { return test::rounded(x, 8); }) == "bf16 scores");
  CHECK(with([](float x) { return test::rounded(x, 11); }) == "f16 scores");
  CHECK(with([](float x) { return 50 * std::tanh(x / 50.0); }) == "scores capped at 50");
  CHECK(stage().first(probe("probs"), test::rounded(softmax(s, causal), 8), 1) == "bf16 probabilities");
  CHECK(stage().first(probe("probs"), changed(softmax(s, causal), test::as_f16), 1) == "f16 probabilities");
  Values raw = s, unnormed = softmax(s, causal), sink = unnormed, heads = s, rows = s;
  for (std::size_t line = 0; line < s.size() / kKeys; ++line) {
    const int q = static_cast<int>(kPast + line % kRows);
    double largest = -1e300, sum = 0;
    for (std::size_t k = 0; k < kKeys; ++k) {
      const std::size_t i = line * kKeys + k;
      if (causal(q, static_cast<int>(k))) largest = std::max(largest, static_cast<double>(s[i]));
    }
    for (std::size_t k = 0; k < kKeys; ++k) {
      if (causal(q, static_cast<int>(k))) sum += std::exp(s[line * kKeys + k] - largest);
    }
    for (std::size_t k = 0; k < kKeys; ++k) {
      const std::size_t i = line * kKeys + k;
      const bool here = causal(q, static_cast<int>(k));
      double over_heads = 0, over_rows = 0;
      for (std::size_t head = 0; head < kHeads; ++head) {
        over_heads += std::exp(static_cast<double>(s[(head * kRows + line % kRows) * kKeys + k]));
      }
      for (std::size_t row = 0; row < kRows; ++row) {
        const bool seen = causal(static_cast<int>(kPast + row), static_cast<int>(k));
        if (seen) over_rows += std::exp(static_cast<double>(s[(line / kRows * kRows + row) * kKeys + k]));
      }
      const double e = std::exp(static_cast<double>(s[i]));
      raw[i] = here ? s[i] : 0.0f;
      unnormed[i] = here ? static_cast<float>(std::exp(s[i] - largest)) : 0.0f;
      sink[i] = here ? static_cast<float>(std::exp(s[i] - largest) / (sum + std::exp(-largest))) : 0.0f;
      heads[i] = here ? static_cast<float>(e / over_heads) : 0.0f;
      rows[i] = here ? static_cast<float>(e / over_rows) : 0.0f;
    }
  }
  const auto named = [&](const Values& made) { return stage().first(probe("probs"), made, 1); };
  CHECK(named(raw) == "no softmax");
  CHECK(named(unnormed) == "not normalised");
  CHECK(named(sink) == "denominator plus one");
  CHECK(named(heads) == "softmax over the heads axis");
  CHECK(named(rows) == "softmax over the queries axis");
}

TEST_CASE("suspects of softmax: what the denominator counts", "[reference][suspects]") {
  const Values s = stage().get(probe("scores"), 1), right = softmax(s, causal);
  // The sum over the keys that a query may see, and what else is in it: counted(line).
  const auto with = [&](auto counted) {
    Values made = right;
    for (std::size_t line = 0; line < s.size() / kKeys; ++line) {
      const int q = static_cast<int>(kPast + line % kRows);
      double sum = 0;
      for (std::size_t k = 0; k < kKeys; ++k) {
        if (causal(q, static_cast<int>(k))) sum += std::exp(static_cast<double>(s[line * kKeys + k]));
      }
      for (std::size_t k = 0; k < kKeys; ++k) {
        float& weight = made[line * kKeys + k];
        weight = static_cast<float>(weight * (sum / (sum + counted(line, q))));
      }
    }
    return stage().named(probe("probs"), made, 1);
  };
  CHECK(with([&](std::size_t line, int q) {
          double sum = 0;
          for (int k = q + 1; k < static_cast<int>(kKeys); ++k) {
            sum += std::exp(static_cast<double>(s[line * kKeys + static_cast<std::size_t>(k)]));
          }
          return sum;
        }) == "forbidden keys in the denominator");
  CHECK(with([](std::size_t, int) { return 19.0; }) == "empty slots in the denominator");
  CHECK(with([](std::size_t, int) { return 1.0; }) == "denominator plus one");
  CHECK(with([](std::size_t line, int) { return 1.5 + std::sin(static_cast<double>(line)); }) ==
        "none fits; its shape: weight lost to places outside the sequence");
  CHECK(with([](std::size_t line, int) { return 0.3 * std::sin(static_cast<double>(line)); }) ==
        "none fits; its shape: each row times a factor of its own");
}

TEST_CASE("suspects of softmax: weights that are 0, weak masks, narrow exponents", "[reference][suspects]") {
  const Values s = stage().get(probe("scores"), 1), right = softmax(s, causal);
  const auto named = [](const Values& made) { return stage().named(probe("probs"), made, 1); };
  const auto skipped = [](int q, int k) { return k <= q && (q + k) % 4 != 1; };
  CHECK(named(softmax(s, skipped)) == "none fits; its shape: keys left out, the rest normalised");
  Values dropped = right;
  for (std::size_t i = 0; i < dropped.size(); ++i) dropped[i] = i % 7 == 3 ? 0 : dropped[i] / 0.8f;
  CHECK(named(dropped) == "none fits; its shape: dropout left on");
  Values not_normalised = right;
  for (std::size_t i = 0; i < right.size(); ++i) not_normalised[i] = i % 7 == 3 ? 0 : right[i];
  CHECK(named(not_normalised) == "none fits");
  Values weak = s;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (!causal(static_cast<int>(kPast + i / kKeys % kRows), static_cast<int>(i % kKeys))) weak[i] -= 17.5f;
  }
  CHECK(named(softmax(weak, [](int, int) { return true; })) == "none fits; its shape: mask too weak (-17.5)");
  for (const int bits : {8, 11}) {
    Values narrow = s;
    for (std::size_t line = 0; line < s.size() / kKeys; ++line) {
      float largest = -1e30f;
      for (std::size_t k = 0; k < kKeys; ++k) {
        if (causal(static_cast<int>(kPast + line % kRows), static_cast<int>(k)))
          largest = std::max(largest, s[line * kKeys + k]);
      }
      for (std::size_t k = 0; k < kKeys; ++k) {
        narrow[line * kKeys + k] = test::rounded(s[line * kKeys + k] - largest, bits);
      }
    }
    CHECK(named(softmax(narrow, causal)) == (bits == 8 ? "bf16 exponents" : "f16 exponents"));
  }
}

TEST_CASE("suspects of softmax: no maximum, where the scores are large", "[reference][suspects]") {
  nlohmann::json config = test::small_config();
  Stage loud(config, {9, 4}, 40.0f);
  const Values s = loud.get(probe("scores"), 1);
  Values made(s.size());
  bool overflown = false;
  for (std::size_t line = 0; line < s.size() / kKeys; ++line) {
    const int q = static_cast<int>(kPast + line % kRows);
    float sum = 0;
    for (std::size_t k = 0; k < kKeys; ++k) {
      if (causal(q, static_cast<int>(k))) sum += std::exp(s[line * kKeys + k]);
    }
    overflown = overflown || std::isinf(sum);
    for (std::size_t k = 0; k < kKeys; ++k) {
      const bool here = causal(q, static_cast<int>(k));
      made[line * kKeys + k] = here ? std::exp(s[line * kKeys + k]) / sum : 0.0f;
    }
  }
  REQUIRE(overflown);
  CHECK(loud.first(probe("probs"), made, 1) == "softmax without the maximum");
}

TEST_CASE("suspects of the context", "[reference][suspects]") {
  const Values p = stage().get(probe("probs"), 1);
  const auto named = [](const Values& made) { return stage().first(probe("context"), made, 1); };
  CHECK(named(context(p, values(), tiled)) == "kv heads tiled");
  CHECK(named(context(p, values(), only_first)) == "first kv head for every query head");
  CHECK(named(context(p, keys())) == "keys in place of values");
  CHECK(named(context(p, moved(values(), 1))) == "values one slot late");
  CHECK(named(context(p, moved(values(), kKeys - 1))) == "values one slot early");
  CHECK(named(context(p, values(1))) == "values of the layer after");
  const auto without = [&](auto lost) {
    Values made = p;
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (lost(kPast + i / kKeys % kRows, i % kKeys)) made[i] = 0;
    }
    return named(context(made, values()));
  };
  CHECK(without([](std::size_t q, std::size_t k) { return k == q; }) == "newest key lost");
  CHECK(without([](std::size_t, std::size_t k) { return k == 0; }) == "first key lost");
  CHECK(without([](std::size_t, std::size_t k) { return k < kPast; }) == "cached keys lost");
  Values next(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) next[i] = p[(i + kRows * kKeys) % p.size()];
  CHECK(named(context(next, values())) == "weights of the next head");
  CHECK(named(context(test::rounded(p, 8), values())) == "bf16 weights");
  CHECK(named(context(test::rounded(p, 11), values())) == "f16 weights");
  CHECK(named(context(test::rounded(p, 8), test::rounded(values(), 8))) == "bf16 inputs");
  for (const int bits : {8, 11}) {
    const Values v = values();
    Values sums(kRows * kHeads * kDim);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::size_t row = i / (kHeads * kDim), head = i / kDim % kHeads;
      for (std::size_t k = 0; k < kKeys; ++k) {
        const float term =
            p[(head * kRows + row) * kKeys + k] * v[(k * kKvHeads + grouped(head)) * kDim + i % kDim];
        sums[i] = test::rounded(sums[i] + term, bits);
      }
    }
    CHECK(named(sums) == (bits == 8 ? "bf16 accumulation" : "f16 accumulation"));
  }
  const Values right = context(p, values());
  Values apart(right.size()), mixed(right.size());
  for (std::size_t i = 0; i < right.size(); ++i) {
    const std::size_t row = i / (kHeads * kDim), head = i / kDim % kHeads, channel = i % kDim;
    apart[(head * kRows + row) * kDim + channel] = right[i];
    mixed[row * kHeads * kDim + channel * kHeads + head] = right[i];
  }
  CHECK(named(apart) == "heads not put side by side");
  CHECK(named(mixed) == "heads and channels exchanged");
}

TEST_CASE("suspects of fused attention, where only the context was recorded", "[reference][suspects]") {
  Stage fused(test::small_config());
  fused.forget({"scores", "probs"});
  const auto named = [&](int layer, const Values& p, const Values& v,
                         std::size_t (*kv)(std::size_t) = grouped) {
    return fused.first(probe("context", layer), context(p, v, kv), 1);
  };
  const auto weights = [&](float scale, std::size_t (*kv)(std::size_t) = grouped) {
    return softmax(scores(queries(), keys(), scale, kv), causal);
  };
  CHECK(named(0, weights(kScale), values()) == "none fits");
  CHECK(named(0, weights(1), values()) == "scale missing");
  CHECK(named(0, weights(0.1f), values()) == "scale applied twice");
  CHECK(named(0, weights(kScale, tiled), values(), tiled) == "kv heads tiled");
  CHECK(named(0, softmax(scores(queries(), keys(), kScale), [](int q, int k) { return k < q; }), values()) ==
        "mask without self");
  CHECK(named(0, softmax(scores(queries(), values(), kScale), causal), keys()) == "keys and values swapped");
  CHECK(named(1, softmax(stage().get(probe("scores", 1), 1), causal), values(1)) == "no window");
  CHECK(named(0, test::rounded(weights(kScale), 8), values()) == "bf16 probabilities");
}
