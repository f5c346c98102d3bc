#include "phases/support/invariances.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/cache.h"
#include "phases/support/invariance_runs.h"

namespace plumbline::phases {

struct Invariances::Run {
  Engine& engine;
  std::string where;
  Random random;
  bool few;
  std::vector<TokenId> tokens;
  Tensor whole;  // logits of one prefill over a growing cache [tokens, vocab]

  Run(Engine& of, std::string name, unsigned seed, bool quick, std::int64_t longest)
      : engine(of), where(std::move(name)), random(seed), few(quick) {
    const std::int64_t vocab = engine.config().vocab_size;
    tokens = random_tokens(
        random, between(random, few ? 8 : 2, few ? std::min<std::int64_t>(longest, 40) : longest), vocab);
    whole = whole_prefill(engine, tokens);
  }
  std::int64_t length() const { return static_cast<std::int64_t>(tokens.size()); }
  std::vector<TokenId> others(std::int64_t most) {
    return random_tokens(random, between(random, 1, most), engine.config().vocab_size);
  }
};

Invariance& Invariances::row(const std::string& name) {
  const auto found = std::ranges::find(rows_, name, &Invariance::name);
  if (found != rows_.end()) return *found;
  rows_.push_back({name, 0, 0, 0, 0, {}});
  return rows_.back();
}

void Invariances::compare(const std::string& name, const std::string& where, const LogitRows& actual,
                          const Tensor& expected, std::int64_t first_row) {
  Invariance& into = row(name);
  ++into.runs;
  const std::span<const float> right = expected.values<float>();
  const auto vocab = static_cast<std::size_t>(expected.shape()[1]);
  std::size_t at = static_cast<std::size_t>(first_row) * vocab;
  for (const Tensor& part : actual) {
    require(part.dtype() == DType::f32 && at + part.values<float>().size() <= right.size(),
            "invariances: logits of another dtype or number");
    for (const float value : part.values<float>()) {
      const float wanted = right[at];
      ++into.logits;
      if (std::memcmp(&value, &wanted, sizeof value) != 0) {
        const double difference = std::fabs(static_cast<double>(value) - wanted);
        into.largest = std::max(
            into.largest, std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference);
        if (into.different++ == 0)
          into.first = fmt::format("{}: position {}, token {}", where, at / vocab, at % vocab);
      }
      ++at;
    }
  }
}

// Every step of a decode against a prefill of the prefix alone.
void Invariances::cached_is_uncached(Run& run) {
  const std::int64_t prefill = between(run.random, 1, run.length());
  std::vector<std::int64_t> split{prefill};
  split.resize(static_cast<std::size_t>(1 + run.length() - prefill), 1);
  const std::unique_ptr<Cache> cache = run.engine.make_cache(growing(run.engine));
  const LogitRows cached = feed_split(run.engine, *cache, run.tokens, split);
  for (int i = 0; i < (run.few ? 2 : 5); ++i) {
    const std::int64_t length = between(run.random, prefill, run.length());
    const Tensor uncached =
        whole_prefill(run.engine, std::span(run.tokens).first(static_cast<std::size_t>(length)));
    LogitRows rows;
    for (std::int64_t step = 0; step <= length - prefill; ++step)
      rows.push_back(cached[static_cast<std::size_t>(step)]);
    compare("cached = uncached", fmt::format("{}, {} of {} tokens", run.where, length, run.length()), rows,
            uncached);
  }
}

void Invariances::chunks_are_whole(Run& run) {
  for (int i = 0; i < (run.few ? 1 : 3); ++i) {
    const std::vector<std::int64_t> split = random_split(run.random, run.length());
    const std::unique_ptr<Cache> cache = run.engine.make_cache(growing(run.engine));
    compare("prefill in any chunks = whole",
            fmt::format("{}, chunks of {}", run.where, fmt::join(split, ", ")),
            feed_split(run.engine, *cache, run.tokens, split), run.whole);
  }
}

// In calls as `split` says, each beside other sequences of random lengths, in random order, some of them with
// a past. `sequences` is set to how many there are.
LogitRows Invariances::feed_beside_others(Run& run, const std::vector<std::int64_t>& split,
                                          std::int64_t& sequences) {
  sequences = between(run.random, 2, 5);
  const auto own = static_cast<SequenceId>(between(run.random, 0, sequences - 1));
  const std::unique_ptr<Cache> cache = run.engine.make_cache(growing(run.engine, sequences));
  LogitRows rows;
  std::size_t at = 0;
  for (const std::int64_t count : split) {
    std::vector<std::vector<TokenId>> others;
    std::vector<Feeding> feeding;
    for (SequenceId id = 0; id < sequences; ++id) others.push_back(run.others(run.few ? 7 : 20));
    for (SequenceId id = 0; id < sequences; ++id) {
      if (id != own && between(run.random, 0, 3) == 0) continue;
      const std::span<const TokenId> part =
          id == own ? std::span<const TokenId>(run.tokens).subspan(at, static_cast<std::size_t>(count))
                    : std::span<const TokenId>(others[static_cast<std::size_t>(id)]);
      feeding.push_back({id, part});
    }
    std::ranges::shuffle(feeding, run.random);
    LogitRows all = feed(run.engine, *cache, feeding);
    const auto mine = std::ranges::find(feeding, own, &Feeding::sequence) - feeding.begin();
    rows.push_back(std::move(all[static_cast<std::size_t>(mine)]));
    at += static_cast<std::size_t>(count);
  }
  return rows;
}

void Invariances::batched_is_alone(Run& run) {
  const std::vector<std::int64_t> split = random_split(run.random, run.length());
  std::int64_t sequences = 0;
  const LogitRows rows = feed_beside_others(run, split, sequences);
  compare("alone = in a batch of any others", fmt::format("{}, of {} sequences", run.where, sequences), rows,
          run.whole);
}

// The same random split over every cache that the engine makes.
void Invariances::caches_are_alike(Run& run) {
  const std::vector<std::int64_t> split = random_split(run.random, run.length());
  const std::int64_t capacity = run.length() + between(run.random, 0, 40);
  const std::int64_t prefill = between(run.random, 1, capacity);
  const auto specs = run.few ? few_cache_specs(2, capacity, prefill) : cache_specs(2, capacity, prefill);
  for (CacheSpec spec : specs) {
    spec.dtype = run.engine.info().storage;
    const std::unique_ptr<Cache> cache = refusals_.make(run.engine, spec);
    if (cache == nullptr) continue;
    const std::string where = fmt::format("{}, {}", run.where, cache_name(spec));
    const bool plain = spec.layout == CacheLayout::sequence_heads && spec.packing == CachePacking::separate;
    const std::string name = !plain                          ? "any layout and packing"
                             : spec.prefill_capacity > 0     ? "prefill's buffer apart = one buffer"
                             : spec.kind == CacheKind::fixed ? "fixed = concatenating"
                                                             : "";
    const LogitRows rows = feed_split(run.engine, *cache, run.tokens, split, 1);
    if (!name.empty()) compare(name, where, rows, run.whole);
    auto* const native = dynamic_cast<native::NativeCache*>(cache.get());
    if (native == nullptr || spec.kind != CacheKind::fixed) continue;
    cache->clear(1);
    native->fill_free_slots(std::numeric_limits<float>::quiet_NaN());
    compare("NaN in every free slot = none", where, feed_split(run.engine, *cache, run.tokens, split, 1),
            run.whole);
  }
}

// What was cut off leaves no trace, in the growing cache and in the slots of fixed ones.
void Invariances::cropped_is_never_extended(Run& run) {
  for (CacheSpec spec : few_cache_specs(1, run.length() + 40, between(run.random, 1, 40))) {
    spec.dtype = run.engine.info().storage;
    const std::unique_ptr<Cache> cache = refusals_.make(run.engine, spec);
    if (cache == nullptr) continue;
    const std::int64_t keep = between(run.random, 0, run.length() - 1);
    feed(run.engine, *cache, {{0, run.tokens}});
    feed(run.engine, *cache, {{0, run.others(20)}});
    cache->crop(0, keep);
    feed(run.engine, *cache, {{0, run.others(20)}});
    cache->crop(0, keep);
    const std::span<const TokenId> rest = std::span(run.tokens).subspan(static_cast<std::size_t>(keep));
    compare("cropped and re-extended = never extended",
            fmt::format("{}, {}, cropped to {} of {}", run.where, cache_name(spec), keep, run.length()),
            feed_split(run.engine, *cache, rest, random_split(run.random, run.length() - keep)), run.whole,
            keep);
  }
}

// A fork and its origin go on, one with other tokens.
void Invariances::fork_goes_on_alone(Run& run) {
  for (CacheSpec spec : few_cache_specs(2, run.length() + 40, between(run.random, 1, 40))) {
    spec.dtype = run.engine.info().storage;
    const std::unique_ptr<Cache> cache = refusals_.make(run.engine, spec);
    if (cache == nullptr) continue;
    const std::int64_t shared = between(run.random, 0, run.length() - 1);
    const std::span<const TokenId> tokens = run.tokens;
    if (shared > 0) feed(run.engine, *cache, {{0, tokens.first(static_cast<std::size_t>(shared))}});
    cache->fork(0, 1);
    const SequenceId own = between(run.random, 0, 1) == 0 ? 0 : 1;
    feed(run.engine, *cache, {{1 - own, run.others(20)}});
    compare("fork and origin go on apart",
            fmt::format("{}, {}, forked at {}", run.where, cache_name(spec), shared),
            feed(run.engine, *cache, {{own, tokens.subspan(static_cast<std::size_t>(shared))}}), run.whole,
            shared);
  }
}

void Invariances::measure(Engine& engine, const std::string& where, unsigned seed, bool few,
                          std::int64_t longest) {
  Run run(engine, where, seed, few, longest);
  cached_is_uncached(run);
  chunks_are_whole(run);
  batched_is_alone(run);
  caches_are_alike(run);
  cropped_is_never_extended(run);
  fork_goes_on_alone(run);
}

void Invariances::measure_calls(Engine& engine, const std::string& where, unsigned seed,
                                std::int64_t longest) {
  Run run(engine, where, seed, false, longest);
  for (const std::vector<std::int64_t>& split :
       {std::vector<std::int64_t>{run.length()}, random_split(run.random, run.length())}) {
    const auto alone = [&] {
      return feed_split(engine, *engine.make_cache(growing(engine)), run.tokens, split);
    };
    const Tensor expected = joined(alone());
    const std::string calls = fmt::format("{}, calls of {}", where, fmt::join(split, ", "));
    compare("the same calls again", calls, alone(), expected);
    std::int64_t sequences = 0;
    const LogitRows beside = feed_beside_others(run, split, sequences);
    compare("the same calls beside others", fmt::format("{}, of {} sequences", calls, sequences), beside,
            expected);
  }
}

void Invariances::measure_last(const LastLogits& last, std::int64_t vocab, const std::string& where,
                               unsigned seed, std::int64_t longest) {
  Random random(seed);
  const std::vector<TokenId> tokens = random_tokens(random, between(random, 8, longest), vocab);
  const auto length = static_cast<std::int64_t>(tokens.size());
  const Tensor whole = last(tokens, {length});
  for (int i = 0; i < 4; ++i) {
    std::vector<std::int64_t> steps{between(random, 1, length)};
    steps.resize(static_cast<std::size_t>(1 + length - steps.front()), 1);
    compare("cached = uncached", where, {last(tokens, steps)}, whole);
  }
}

void Invariances::measure_engines(const Open& open, const std::vector<int>& threads,
                                  const std::vector<std::string>& isas, const std::string& where,
                                  unsigned seed) {
  const std::unique_ptr<Engine> first = open(1, isas.front());
  Run run(*first, where, seed, true, 60);
  for (const int count : threads) {
    const std::unique_ptr<Engine> engine = open(count, isas.front());
    compare("1 to n threads", fmt::format("{}, {} threads", where, count),
            {whole_prefill(*engine, run.tokens)}, run.whole);
  }
  for (const std::string& isa : isas) {
    const std::unique_ptr<Engine> engine = open(2, isa);
    Run itself(*engine, where + ", " + isa, seed, true, 60);
    const std::vector<std::int64_t> split = random_split(itself.random, itself.length());
    const std::unique_ptr<Cache> cache = engine->make_cache(growing(*engine, 2));
    const std::vector<TokenId> others = itself.others(20);
    feed(*engine, *cache, {{0, others}});
    compare(isa + " by itself, in chunks beside another sequence", itself.where,
            feed_split(*engine, *cache, itself.tokens, split, 1), itself.whole);
    if (isa == isas.front()) continue;
    compare("every instruction set = the first", fmt::format("{}, {} for {}", where, isa, isas.front()),
            {itself.whole}, run.whole);
  }
}

}  // namespace plumbline::phases
