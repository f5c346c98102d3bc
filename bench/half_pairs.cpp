// The native engine in a half type beside itself in f32, on the same work: pairs of runs, one of each right
// after the other, the order changing from pair to pair. What is read is the ratio of a pair.
//
//   build/plumbline-make-model --shape 0.5b --dtype bf16 -o models/half-billion
//   build/half_pairs --model models/half-billion --check
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/bench_main.h"
#include "bench/forward_work.h"
#include "impl/cpu/engine.h"

namespace {

using namespace plumbline;

constexpr double kDecodeTarget = 1.5;   // speed of the half type over f32's
constexpr double kPrefillTarget = 0.9;  // widening the weights may cost a tenth
constexpr std::int64_t kCapacity = 1100;

struct Options {
  std::filesystem::path model;
  std::vector<int> threads{1, 2};
  int rounds = 15;
  std::string dtype = "bf16";
  std::string isa;
  bool check = false;
};

using bench::ForwardWork;

double target_of(const ForwardWork& work) {
  return work.at_once ? kPrefillTarget : kDecodeTarget;
}

class Side {
 public:
  Side(const Options& options, int threads, DType dtype)
      : engine_(native::make_cpu_engine(options.model,
                                        {.threads = threads, .isa = options.isa, .storage = dtype})),
        cache_(engine_->make_cache({CacheKind::fixed, 1, kCapacity, dtype})) {}

  Engine& engine() { return *engine_; }
  Cache& cache() { return *cache_; }
  void feed(std::span<const TokenId> tokens) {
    positions_.resize(tokens.size());
    std::iota(positions_.begin(), positions_.end(), cache_->length(0));
    const SequenceStep step{0, tokens, positions_, LogitsWanted::last};
    NullSink nothing;
    engine_->forward(std::span(&step, 1), *cache_, nothing);
  }
  // The cache holds work.before tokens, then and afterwards.
  double seconds(const ForwardWork& work, std::span<const TokenId> tokens) {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < tokens.size(); i += work.at_once ? tokens.size() : 1)
      feed(work.at_once ? tokens : tokens.subspan(i, 1));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    cache_->crop(0, work.before);
    return elapsed.count();
  }

 private:
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Cache> cache_;
  std::vector<std::int64_t> positions_;
};

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
}

std::vector<TokenId> prompt(std::int64_t length, std::int64_t vocab) {
  std::vector<TokenId> tokens(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<TokenId>((i * 7919 + 13) % static_cast<std::size_t>(vocab));
  return tokens;
}

// One line; true when the target is reached.
bool measure(const Options& options, const ForwardWork& work, int threads, Side& half, Side& full) {
  const std::vector<TokenId> tokens = prompt(work.before + work.tokens, half.engine().config().vocab_size);
  const auto prefix = std::span(tokens).first(static_cast<std::size_t>(work.before));
  const auto timed = std::span(tokens).subspan(prefix.size());
  for (Side* side : {&half, &full}) {
    side->cache().clear(0);
    if (!prefix.empty()) side->feed(prefix);
    side->seconds(work, timed);
  }
  std::vector<double> ratios, half_rates, full_rates;
  for (int round = 0; round < options.rounds; ++round) {
    const bool half_first = round % 2 == 0;
    const double first = (half_first ? half : full).seconds(work, timed);
    const double second = (half_first ? full : half).seconds(work, timed);
    const double ours = half_first ? first : second, theirs = half_first ? second : first;
    ratios.push_back(theirs / ours);
    half_rates.push_back(static_cast<double>(work.tokens) / ours);
    full_rates.push_back(static_cast<double>(work.tokens) / theirs);
  }
  const double median = quantile(ratios, 0.5);
  const bool reached = median >= target_of(work);
  fmt::print(
      "{:<18} {} thread{}  {}/f32 speed {:.2f} (median of {} pairs, quartiles {:.2f}-{:.2f}; target "
      "{:.1f}{})  tokens/s: {:.1f} and {:.1f}\n",
      work.name, threads, threads == 1 ? " " : "s", options.dtype, median, options.rounds,
      quantile(ratios, 0.25), quantile(ratios, 0.75), target_of(work), reached ? "" : ", MISSED",
      quantile(half_rates, 0.5), quantile(full_rates, 0.5));
  std::fflush(stdout);
  return reached;
}

int run(const Options& options) {
  bool reached = true;
  for (const int threads : options.threads) {
    Side half(options, threads, dtype_from_name(options.dtype)), full(options, threads, DType::f32);
    for (const ForwardWork& work : bench::forward_work())
      reached = measure(options, work, threads, half, full) && reached;
  }
  return reached || !options.check ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("The native engine's speed in a half type over that in f32, pair by pair", "half_pairs");
  app.add_option("--model", options.model, "A checkpoint")->required();
  app.add_option("--threads", options.threads, "May be repeated")->capture_default_str();
  app.add_option("--rounds", options.rounds, "Pairs per figure")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--dtype", options.dtype, "bf16 or f16")->capture_default_str();
  app.add_option("--isa", options.isa, "The instruction set; the best here");
  app.add_flag("--check", options.check, "Exit 1 when a median is below its target");
  return bench::bench_main(app, argc, argv, [&] { return run(options); });
}
