#include "bench/cache_decode.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "bench/cache_ratios.h"

namespace plumbline::bench {
namespace {

constexpr double kMostMasked = 1.02;     // four times the room over none to spare
constexpr double kLeastStraight = 0.98;  // R squared of the line through the decode times

template <typename Body>
double seconds(const Body& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

native::CacheShape shape_of(const ModelConfig& config) {
  return {static_cast<int>(config.num_hidden_layers), config.num_key_value_heads, config.head_dim};
}

// Decodes over a cache of its own, whose contents are the same tokens again and again.
class Decoding {
 public:
  Decoding(Engine& engine, const CacheSpec& spec, std::int64_t length)
      : engine_(engine), cache_(engine.make_cache(spec)) {
    constexpr std::int64_t kChunk = 256;
    for (std::int64_t at = 0; at < length; at += kChunk) feed(std::min(kChunk, length - at));
  }
  std::int64_t bytes() const { return cache_->bytes(); }
  std::int64_t length() const { return cache_->length(0); }
  // Seconds of one token; the cache is as it was then.
  double step() {
    const double taken = seconds([&] { feed(1); });
    cache_->crop(0, cache_->length(0) - 1);
    return taken;
  }
  void feed(std::int64_t count) {
    std::vector<TokenId> tokens(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<TokenId>(static_cast<std::int64_t>(i) * 7 % engine_.config().vocab_size);
    std::vector<std::int64_t> positions(tokens.size());
    std::iota(positions.begin(), positions.end(), cache_->length(0));
    const SequenceStep step{0, tokens, positions, LogitsWanted::none};
    NullSink nothing;
    engine_.forward({&step, 1}, *cache_, nothing);
  }

 private:
  Engine& engine_;
  std::unique_ptr<Cache> cache_;
};

CacheSpec fixed(std::int64_t capacity) {
  CacheSpec spec;
  spec.kind = CacheKind::fixed;
  spec.capacity = capacity;
  return spec;
}

// Least of several: what the machine's other work adds is not the cache's.
double least_step(Decoding& decoding, int times) {
  double least = decoding.step();
  for (int i = 1; i < times; ++i) least = std::min(least, decoding.step());
  return least;
}

double read_seconds(const std::vector<float>& bytes) {
  using Words = std::uint64_t __attribute__((vector_size(64)));
  Words sums[4] = {};
  const double taken = seconds([&] {
    const auto* from = reinterpret_cast<const char*>(bytes.data());
    for (std::size_t at = 0; at + sizeof sums <= bytes.size() * sizeof(float); at += sizeof sums) {
      Words words[4];
      std::memcpy(words, from + at, sizeof words);
      for (int i = 0; i < 4; ++i) sums[i] += words[i];
    }
  });
  if (sums[0][0] + sums[1][0] + sums[2][0] + sums[3][0] == 1) fmt::print(" ");  // the sums are used
  return taken;
}

}  // namespace

bool measure_masking(Engine& engine, const CacheBenchOptions& options) {
  Decoding sliced(engine, fixed(options.tokens + 1), options.tokens);
  Decoding masked(engine, fixed(options.tokens * 4), options.tokens);
  std::vector<double> ratios;
  for (int round = -1; round < options.rounds; ++round) {
    // Each first in every other round.
    double one = 0, other = 0;
    if (round % 2 == 0) one = least_step(sliced, 5);
    other = least_step(masked, 5);
    if (round % 2 != 0) one = least_step(sliced, 5);
    if (round >= 0) ratios.push_back(other / one);
  }
  const Quartile ratio = quartile(ratios);
  fmt::print(
      "a decode step over four times the room, {} tokens held: x {:.3f} ({:.3f} to {:.3f}; at most {})\n",
      options.tokens, ratio.median, ratio.low, ratio.high, kMostMasked);
  return ratio.median <= kMostMasked;
}

bool measure_slope(Engine& engine, const CacheBenchOptions& options) {
  const native::CacheShape shape = shape_of(engine.config());
  const double token_bytes = 2.0 * shape.layers * static_cast<double>(shape.row()) * sizeof(float);
  std::vector<double> x, y;
  const std::int64_t longest = options.tokens * 2;
  Decoding decoding(engine, fixed(longest + 1), 1);
  for (int i = 0; i <= 8; ++i) {
    const std::int64_t length = std::max<std::int64_t>(longest * i / 8, 1);
    while (decoding.length() < length) decoding.feed(std::min<std::int64_t>(256, length - decoding.length()));
    x.push_back(static_cast<double>(length));
    y.push_back(least_step(decoding, options.rounds));
  }
  const auto mean = [](const std::vector<double>& v) {
    return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  };
  const double mx = mean(x), my = mean(y);
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
  }
  const double slope = xy / xx, straight = xy * xy / (xx * yy);
  const std::vector<float> bytes(static_cast<std::size_t>(token_bytes * static_cast<double>(longest) / 4),
                                 1.0f);
  double read = read_seconds(bytes);
  for (int i = 0; i < options.rounds; ++i) read = std::min(read, read_seconds(bytes));
  const double predicted = read / static_cast<double>(longest);
  fmt::print(
      "a decode step, 1 to {} tokens of context: R squared {:.4f} (at least {}); {:.2f} ns for each token of "
      "context ({:.0f} bytes), {:.2f} times what reading them takes; {:.0f} us at 1 token, {:.0f} at {}\n",
      longest, straight, kLeastStraight, slope * 1e9, token_bytes, slope / predicted, y.front() * 1e6,
      y.back() * 1e6, longest);
  return straight >= kLeastStraight;
}

void measure_bytes(Engine& engine) {
  constexpr std::int64_t kPrompt = 64, kNew = 64;
  Decoding grows(engine, {}, kPrompt), stays(engine, fixed(kPrompt + kNew - 1), kPrompt);
  std::int64_t peak = grows.bytes(), allocated = grows.bytes();
  for (std::int64_t i = 1; i < kNew; ++i) {
    const std::int64_t before = grows.bytes();
    stays.feed(1);
    grows.feed(1);
    if (grows.bytes() == before) continue;
    peak = std::max(peak, before + grows.bytes());  // old rows are there until the new ones are whole
    allocated += grows.bytes();
  }
  const auto over = [&](std::int64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(stays.bytes());
  };
  fmt::print(
      "a task of {} + {} tokens: fixed {} bytes, once; growing x {:.2f} at its end, x {:.2f} at its peak, x "
      "{:.1f} allocated in all\n",
      kPrompt, kNew, stays.bytes(), over(grows.bytes()), over(peak), over(allocated));
}

}  // namespace plumbline::bench
