#include "bench/cache_ratios.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

#include "harness/error.h"
#include "impl/cache.h"

namespace plumbline::bench {
namespace {

using native::CacheRun;
using native::CacheShape;
using native::NativeCache;

template <typename Body>
double seconds(const Body& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

std::vector<float> numbers(std::int64_t count) {
  std::vector<float> values(size(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 2654435761u % 65521);
  return values;
}

std::unique_ptr<NativeCache> make(const CacheShape& shape, const CacheSpec& spec) {
  return native::make_native_cache(spec, shape, 1);
}

CacheSpec fixed_spec(std::int64_t capacity) {
  CacheSpec spec;
  spec.kind = CacheKind::fixed;
  spec.capacity = capacity;
  return spec;
}

// Rows of one part of a run, heads [first, last), gathered token by token.
float* gather(const float* from, const CacheRun& run, const CacheShape& shape, std::int64_t first,
              std::int64_t last, float* to) {
  const std::int64_t width = (last - first) * shape.head_dim;
  const bool heads_follow = run.head_stride == shape.head_dim || last - first == 1;
  from += first * run.head_stride;
  if (heads_follow && run.token_stride == width) {
    std::memcpy(to, from, size(run.tokens * width) * sizeof(float));
    return to + run.tokens * width;
  }
  for (std::int64_t token = 0; token < run.tokens; ++token, from += run.token_stride) {
    if (heads_follow) {
      std::memcpy(to, from, size(width) * sizeof(float));
      to += width;
      continue;
    }
    for (std::int64_t head = 0; head < last - first; ++head, to += shape.head_dim)
      std::memcpy(to, from + head * run.head_stride, size(shape.head_dim) * sizeof(float));
  }
  return to;
}

void read_by_token(NativeCache& cache, float* to) {
  for (int layer = 0; layer < cache.shape().layers; ++layer) {
    const native::CacheSlice slice = cache.view(layer, 0);
    for (const bool key : {true, false}) {
      for (const CacheRun& run : slice.runs)
        to = gather(key ? run.keys : run.values, run, cache.shape(), 0, cache.shape().kv_heads, to);
    }
  }
}

void read_by_head(NativeCache& cache, float* to) {
  for (int layer = 0; layer < cache.shape().layers; ++layer) {
    const native::CacheSlice slice = cache.view(layer, 0);
    for (const bool key : {true, false}) {
      for (std::int64_t head = 0; head < cache.shape().kv_heads; ++head) {
        for (const CacheRun& run : slice.runs)
          to = gather(key ? run.keys : run.values, run, cache.shape(), head, head + 1, to);
      }
    }
  }
}

// Seconds of one update of one token, of several in a row, back to the length afterwards.
double update_seconds(NativeCache& cache, const std::vector<float>& token) {
  constexpr int kUpdates = 8;
  const std::int64_t length = cache.length(0);
  const double taken = seconds([&] {
    for (int i = 0; i < kUpdates; ++i) cache.update(0, token, token);
  });
  cache.crop(0, length);
  return taken / kUpdates;
}

// Seconds of one token's update, on average over as many as a quarter of the length: a growing cache moves
// meanwhile.
double growing_seconds(NativeCache& cache, const std::vector<float>& token) {
  const std::int64_t updates = cache.length(0) / 4;
  return seconds([&] {
           for (std::int64_t i = 0; i < updates; ++i) cache.update(0, token, token);
         }) /
         static_cast<double>(updates);
}

LayoutCost measure(const CacheSpec& spec, const CacheShape& shape, std::int64_t tokens, int rounds) {
  const std::int64_t count = shape.layers * tokens * shape.row();
  const std::vector<float> keys = numbers(count), values = keys;
  const std::vector<float> one = numbers(shape.layers * shape.row());
  std::vector<float> plain(size(2 * count)), gathered(size(2 * count));
  const std::unique_ptr<NativeCache> cache = make(shape, spec);
  std::vector<double> write, by_token, by_head, update;
  // One round goes before, unmeasured: all memory has been touched then.
  for (int round = -1; round < rounds; ++round) {
    cache->clear(0);
    const double written = seconds([&] { cache->write_prefill(0, keys, values); });
    const double copied = seconds([&] {
      std::memcpy(plain.data(), keys.data(), keys.size() * sizeof(float));
      std::memcpy(plain.data() + count, values.data(), values.size() * sizeof(float));
    });
    const double tokenwise = seconds([&] { read_by_token(*cache, gathered.data()); });
    const double headwise = seconds([&] { read_by_head(*cache, gathered.data()); });
    const double moved =
        seconds([&] { std::memcpy(gathered.data(), plain.data(), plain.size() * sizeof(float)); });
    const double updated = update_seconds(*cache, one);
    if (round < 0) continue;
    write.push_back(written / copied);
    by_token.push_back(tokenwise / moved);
    by_head.push_back(headwise / moved);
    update.push_back(updated * 1e9);
  }
  read_by_token(*cache, gathered.data());
  require(std::memcmp(gathered.data(), keys.data(), size(tokens * shape.row()) * sizeof(float)) == 0,
          "measure_layouts: the cache reads back otherwise");
  return {spec,
          quartile(write),
          quartile(by_token),
          quartile(by_head),
          quartile(update).median,
          cache->bytes(),
          2 * count * static_cast<std::int64_t>(sizeof(float))};
}

}  // namespace

Quartile quartile(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double part) {
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {at(0.25), at(0.5), at(0.75)};
}

std::vector<LayoutCost> measure_layouts(const CacheShape& shape, std::int64_t tokens, int rounds) {
  std::vector<LayoutCost> costs;
  for (const CacheLayout layout :
       {CacheLayout::sequence_heads, CacheLayout::heads_sequence, CacheLayout::sequence_flat}) {
    for (const CachePacking packing :
         {CachePacking::separate, CachePacking::interleaved, CachePacking::concatenated}) {
      CacheSpec spec = fixed_spec(tokens + 16);
      spec.layout = layout;
      spec.packing = packing;
      costs.push_back(measure(spec, shape, tokens, rounds));
    }
  }
  CacheSpec growing;
  costs.push_back(measure(growing, shape, tokens, rounds));
  return costs;
}

GrowthCost measure_growth(const CacheShape& shape, std::int64_t tokens, std::int64_t longer, int rounds) {
  const std::vector<float> one = numbers(shape.layers * shape.row());
  const auto ratio = [&](const CacheSpec& spec) {
    std::vector<std::unique_ptr<NativeCache>> caches;
    std::vector<std::vector<float>> rows;
    for (const std::int64_t length : {tokens, longer}) {
      rows.push_back(numbers(shape.layers * length * shape.row()));
      caches.push_back(make(shape, spec));
    }
    std::vector<double> ratios;
    for (int round = -1; round < rounds; ++round) {
      double taken[2];
      for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
        caches[i]->clear(0);
        caches[i]->write_prefill(0, rows[i], rows[i]);
        taken[i] = growing_seconds(*caches[i], one);
      }
      if (round >= 0) ratios.push_back(taken[1] / taken[0]);
    }
    return quartile(ratios);
  };
  return {ratio(fixed_spec(longer + longer / 4)), ratio(CacheSpec{})};
}

double copies_at_twice_the_length(const CacheShape& shape, std::int64_t tokens) {
  const std::vector<float> one = numbers(shape.layers * shape.row());
  const std::unique_ptr<NativeCache> cache = make(shape, CacheSpec{});
  const auto copied_until = [&](std::int64_t length) {
    std::int64_t copied = 0;
    while (cache->length(0) < length) {
      const std::int64_t held = cache->length(0);
      const float* before = held == 0 ? nullptr : cache->view(0, 0).runs.begin()->keys;
      cache->update(0, one, one);
      if (held > 0 && cache->view(0, 0).runs.begin()->keys != before) copied += held;
    }
    return static_cast<double>(copied);
  };
  copied_until(tokens);
  const double once = copied_until(2 * tokens) / static_cast<double>(tokens);
  return copied_until(4 * tokens) / static_cast<double>(2 * tokens) / once;
}

}  // namespace plumbline::bench
