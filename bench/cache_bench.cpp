// What caches cost, as ratios of things timed in one run:
//   a fixed cache's update at 16 times the length; a growing cache's at twice the length;
//   each layout written and read, over a plain copy of the same bytes;
//   a decode step over a fixed cache with four times the room it needs, over one that is just full;
//   a decode step against the context's length: how straight the line is, and its slope over what reading the
//   cache's bytes takes; bytes of a fixed and of a growing cache for one task.
//
//   build/cache_bench --model DIR [--check]
#include <filesystem>
#include <iostream>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/bench_main.h"
#include "bench/cache_decode.h"
#include "bench/cache_ratios.h"
#include "harness/error.h"
#include "impl/cpu/engine.h"

namespace {

using namespace plumbline;
using bench::CacheBenchOptions;
using bench::Quartile;

constexpr double kMostUpdate = 1.25;  // fixed, at 16 times the length: independent of it
constexpr double kMostGrowing = 2.0;  // growing, at twice the length, on average over a quarter more tokens
constexpr double kMostCopy = 1.1;     // writing or reading, where it is a copy, over memcpy

// Of Qwen2.5-0.5B: its keys and values are larger than the processor's caches. A few layers show growth.
const native::CacheShape kCopied{24, 2, 64}, kGrown{4, 2, 64};

std::string text(const Quartile& q) {
  return fmt::format("{:.2f} ({:.2f} to {:.2f})", q.median, q.low, q.high);
}

std::string name_of(const CacheSpec& spec) {
  constexpr const char* kLayouts[] = {"sequence x heads", "heads x sequence", "sequence, flat"};
  constexpr const char* kPackings[] = {"separate", "interleaved", "concatenated"};
  if (spec.kind == CacheKind::concat) return "growing";
  return fmt::format("{}, {}", kLayouts[static_cast<int>(spec.layout)],
                     kPackings[static_cast<int>(spec.packing)]);
}

bool measure_updates(const CacheBenchOptions& options) {
  const bench::GrowthCost far =
      bench::measure_growth(kGrown, options.tokens / 4, options.tokens * 4, options.rounds);
  const bench::GrowthCost twice =
      bench::measure_growth(kGrown, options.tokens, options.tokens * 2, options.rounds);
  fmt::print("fixed cache, one token's update at 16 times the length: x {} (at most {})\n", text(far.fixed),
             kMostUpdate);
  fmt::print("growing cache, one token's update at twice the length: x {} (at most {})\n",
             text(twice.growing), kMostGrowing);
  return far.fixed.median <= kMostUpdate && twice.growing.median <= kMostGrowing;
}

bool measure_copies(const CacheBenchOptions& options) {
  bool reached = true;
  fmt::print("over a memcpy of the same bytes: write all, read token by token, read head by head\n");
  for (const bench::LayoutCost& cost : bench::measure_layouts(kCopied, options.tokens, options.rounds)) {
    fmt::print("  {}: {}, {}, {}; update {:.0f} ns; bytes {} for {}\n", name_of(cost.spec),
               text(cost.write_all), text(cost.read_by_token), text(cost.read_by_head),
               cost.update_nanoseconds, cost.bytes, cost.needed);
    if (cost.spec.kind == CacheKind::concat || cost.spec.packing == CachePacking::interleaved) continue;
    // A copy: of whole tokens where they lie together, of whole heads where those do.
    const bool by_head = cost.spec.layout == CacheLayout::heads_sequence;
    const Quartile& read = by_head ? cost.read_by_head : cost.read_by_token;
    reached = reached && read.median <= kMostCopy && (by_head || cost.write_all.median <= kMostCopy);
  }
  return reached;
}

int run(const CacheBenchOptions& options) {
  const auto engine = native::make_cpu_engine(options.model, {.threads = options.threads});
  bool reached = measure_updates(options);
  reached = measure_copies(options) && reached;
  reached = bench::measure_masking(*engine, options) && reached;
  reached = bench::measure_slope(*engine, options) && reached;
  bench::measure_bytes(*engine);
  return reached || !options.check ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CacheBenchOptions options;
  CLI::App app("What caches cost.", "cache_bench");
  app.add_option("--model", options.model, "Checkpoint directory")->required();
  app.add_option("--tokens", options.tokens, "Held by the caches (2048)")->check(CLI::Range(64, 1 << 16));
  app.add_option("--rounds", options.rounds, "Pairs per figure (15)")->check(CLI::Range(1, 1000));
  app.add_option("--threads", options.threads, "Of the engine (1)")->check(CLI::Range(1, 64));
  app.add_flag("--check", options.check, "Exit 1 when a median misses its target");
  return plumbline::bench::bench_main(app, argc, argv, [&] { return run(options); });
}
