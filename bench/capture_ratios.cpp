// What listening costs while an engine decodes: pairs of runs, one with a sink and one without right after
// the other, the order changing from pair to pair. What is read is the ratio of a pair.
//   capture of all residual streams (embed_tokens, attn_residual and mlp_residual of all layers), written in
//   shards, one in each timed run; and, for the record, a layer summary, an intervention in all layers, and
//   the attention patterns of all layers.
//
//   build/plumbline-make-model --shape 0.5b --dtype bf16 -o models/half-billion
//   build/capture_ratios --model models/half-billion --check
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "bench/bench_main.h"
#include "harness/error.h"
#include "impl/cpu/engine.h"
#include "impl/generation/attention_patterns.h"
#include "impl/generation/capture.h"
#include "impl/generation/intervention.h"
#include "impl/generation/layer_summary.h"

namespace {

using namespace plumbline;

constexpr double kMostCapture = 1.05;  // of a decode without
constexpr std::int64_t kContext = 64;  // tokens before those that are timed

struct Options {
  std::filesystem::path model, directory = std::filesystem::temp_directory_path();
  std::int64_t tokens = 16;
  int rounds = 15;
  int threads = 1;
  bool check = false;
};

// A directory for shards, removed with what is in it.
class Shards {
 public:
  explicit Shards(const std::filesystem::path& parent)
      : path_(parent / fmt::format("capture-ratios-{}", ::getpid())) {}
  ~Shards() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Shards(const Shards&) = delete;
  Shards& operator=(const Shards&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Taken {
  double seconds = 0, processor_seconds = 0;
};

class Decoding {
 public:
  Decoding(Engine& engine, std::int64_t tokens)
      : engine_(engine), cache_(engine.make_cache(spec(kContext + tokens))), tokens_(tokens) {
    for (std::int64_t i = 0; i < kContext; ++i) feed(nullptr);
  }
  // For all tokens; the cache is as it was then.
  Taken run(native::StepSink* sink) {
    feed(nullptr);
    cache_->crop(0, kContext);
    const std::clock_t before = std::clock();
    const auto begin = std::chrono::steady_clock::now();
    for (std::int64_t i = 0; i < tokens_; ++i) feed(sink);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    const auto processor = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    cache_->crop(0, kContext);
    return {taken.count(), processor};
  }

 private:
  static CacheSpec spec(std::int64_t capacity) {
    CacheSpec made;
    made.kind = CacheKind::fixed;
    made.capacity = capacity;
    return made;
  }
  void feed(native::StepSink* sink) {
    const std::int64_t position = cache_->length(0);
    const auto token = static_cast<TokenId>((position * 7919 + 13) % engine_.config().vocab_size);
    const SequenceStep step{0, {&token, 1}, {&position, 1}, LogitsWanted::last};
    NullSink nothing;
    if (sink != nullptr) sink->begin({&step, 1});
    engine_.forward({&step, 1}, *cache_, sink != nullptr ? static_cast<ProbeSink&>(*sink) : nothing);
  }

  Engine& engine_;
  std::unique_ptr<Cache> cache_;
  std::int64_t tokens_;
};

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
}

// The median ratio, with the sink over without.
double measure(const std::string& name, Decoding& decoding, native::StepSink& sink, const Options& options) {
  std::vector<double> ratios, processor, rates;
  decoding.run(&sink);  // its memory is there, and a shard is full
  for (int round = 0; round < options.rounds; ++round) {
    const bool first = round % 2 == 0;
    Taken with;
    if (first) with = decoding.run(&sink);
    const Taken without = decoding.run(nullptr);
    if (!first) with = decoding.run(&sink);
    ratios.push_back(with.seconds / without.seconds);
    processor.push_back(with.processor_seconds / without.processor_seconds);
    rates.push_back(static_cast<double>(options.tokens) / without.seconds);
  }
  const double median = quantile(ratios, 0.5);
  fmt::print(
      "{}: x {:.4f} (median of {} pairs, quartiles {:.4f} to {:.4f}); of processor time x {:.4f} ({:.4f} to "
      "{:.4f}); {:.1f} tokens/s without\n",
      name, median, options.rounds, quantile(ratios, 0.25), quantile(ratios, 0.75), quantile(processor, 0.5),
      quantile(processor, 0.25), quantile(processor, 0.75), quantile(rates, 0.5));
  std::fflush(stdout);
  return median;
}

native::Interventions scale_all(Engine& engine) {
  std::vector<native::Intervention> list;
  for (int layer = 0; layer < engine.config().num_hidden_layers; ++layer) {
    list.push_back({{Probe::mlp_residual, layer}, native::InterventionKind::scale, {1.0f}});
  }
  return {engine, std::move(list)};
}

int run(const Options& options) {
  const auto engine = native::make_cpu_engine(options.model, {.threads = options.threads});
  Decoding decoding(*engine, options.tokens);
  const Shards shards(options.directory);
  native::CaptureWriter capture(*engine, {.directory = shards.path(),
                                          .patterns = {"model.embed_tokens", "*_residual"},
                                          .shard_tokens = options.tokens});
  const double ratio = measure(fmt::format("capture of all residual streams (at most {:.2f})", kMostCapture),
                               decoding, capture, options);
  fmt::print("  {} shards of {} tokens were written meanwhile\n", capture.shards(), options.tokens);
  native::LayerSummary summary(*engine);
  measure("layer summary of mlp_residual", decoding, summary, options);
  native::Interventions interventions = scale_all(*engine);
  measure("an intervention in each layer", decoding, interventions, options);
  native::AttentionOptions every;
  every.layers.resize(static_cast<std::size_t>(engine->config().num_hidden_layers));
  std::iota(every.layers.begin(), every.layers.end(), 0);
  native::AttentionPatterns patterns(*engine, every);
  measure("attention patterns of all layers", decoding, patterns, options);
  return ratio <= kMostCapture || !options.check ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("What captures cost while an engine decodes.", "capture_ratios");
  app.add_option("--model", options.model, "Checkpoint directory")->required();
  app.add_option("--directory", options.directory,
                 "Where shards go meanwhile (the system's temporary directory)");
  app.add_option("--tokens", options.tokens, "Decoded in each run, and in each shard (16)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--rounds", options.rounds, "Pairs per figure (15)")->check(CLI::Range(1, 1000));
  app.add_option("--threads", options.threads, "Of the engine (1)")->check(CLI::Range(1, 64));
  app.add_flag("--check", options.check, "Exit 1 when the capture's median misses its target");
  return plumbline::bench::bench_main(app, argc, argv, [&] { return run(options); });
}
