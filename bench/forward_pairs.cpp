// The native engine's speed beside LibTorch's, on the same work: pairs of runs, one of each side right after
// the other, the order changing from pair to pair. What is read is the ratio of a pair: it hardly depends on
// what else the machine does, times do.
//
//   build/plumbline-make-model --shape 0.5b --dtype bf16 -o models/half-billion
//   build/forward_pairs --model models/half-billion --check
//
// LibTorch's OpenMP threads spin for some milliseconds after their last work, and would take a processor away
// from a native run that follows at once; told not to spin (OMP_WAIT_POLICY=passive) LibTorch would be slower
// than it need be. So the policy is left alone, and each run is preceded by a pause in which they fall asleep
// and by an untimed token that wakes the side's own.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <numeric>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <fmt/format.h>

#include "bench/forward_work.h"
#include "bench/peers/torch_qwen2.h"
#include "harness/error.h"
#include "impl/cpu/engine.h"

namespace {

using namespace plumbline;

constexpr double kDecodeTarget = 1.0;  // native / LibTorch, in tokens per second
constexpr double kPrefillTarget = 0.7;
// Largest difference of a logit over the RMS of its row. On 24 layers of random weights phase 3 measures
// about 1e-3 between a correct f32 engine and truth; two models that do not do the same are apart by about 1.
constexpr double kSameWork = 1e-2;
constexpr std::int64_t kCapacity = 1100;
constexpr auto kPause = std::chrono::milliseconds(50);

const char kUsage[] =
    "forward_pairs --model DIR [--threads N]... [--rounds N] [--isa NAME] [--check]\n"
    "  --threads N  measure with N threads on both sides; may be repeated (1 and 2)\n"
    "  --rounds N   pairs per figure (15)\n"
    "  --isa NAME   the native engine's instruction set (the best here)\n"
    "  --check      exit 1 when a median is below its target: decode 1.0, prefill 0.7\n";

struct Options {
  std::filesystem::path model;
  std::vector<int> threads;
  int rounds = 15;
  std::string isa;
  bool check = false;
};

struct BadUsage : Error {
  explicit BadUsage(const std::string& what) : Error(what, "forward_pairs", "see --help") {}
};

int count_argument(std::string_view option, const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < 1 || value > 1000) {
    throw BadUsage(fmt::format("{} wants a number from 1 to 1000, not '{}'", option, text));
  }
  return static_cast<int>(value);
}

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (name == "--check") {
      options.check = true;
      continue;
    }
    if (name != "--model" && name != "--threads" && name != "--rounds" && name != "--isa") {
      throw BadUsage(fmt::format("unknown option '{}'", name));
    }
    if (++i == arguments.size()) throw BadUsage(fmt::format("{} wants a value", name));
    if (name == "--model") options.model = arguments[i];
    if (name == "--threads") options.threads.push_back(count_argument(name, arguments[i]));
    if (name == "--rounds") options.rounds = count_argument(name, arguments[i]);
    if (name == "--isa") options.isa = arguments[i];
  }
  if (options.model.empty()) throw BadUsage("--model is missing");
  if (options.threads.empty()) options.threads = {1, 2};
  return options;
}

std::vector<TokenId> prompt(std::int64_t length, std::int64_t vocab) {
  std::vector<TokenId> tokens(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<TokenId>((i * 7919 + 13) % static_cast<std::size_t>(vocab));
  }
  return tokens;
}

// Either side: tokens are appended to its cache, and the last one's logits are computed.
struct Side {
  std::function<std::span<const float>(std::span<const TokenId>)> forward;
  std::function<void(std::int64_t)> crop;
};

class NativeSide {
 public:
  NativeSide(const Options& options, int threads)
      : engine_(native::make_cpu_engine(options.model,
                                        {.threads = threads, .isa = options.isa, .storage = DType::f32})),
        cache_(engine_->make_cache({CacheKind::fixed, 1, kCapacity, DType::f32})) {}

  Engine& engine() { return *engine_; }
  Side side() {
    return {[this](std::span<const TokenId> tokens) { return forward(tokens); },
            [this](std::int64_t length) { cache_->crop(0, length); }};
  }

 private:
  std::span<const float> forward(std::span<const TokenId> tokens) {
    positions_.resize(tokens.size());
    std::iota(positions_.begin(), positions_.end(), cache_->length(0));
    const SequenceStep step{0, tokens, positions_, LogitsWanted::last};
    NullSink nothing;
    logits_ = engine_->forward(std::span(&step, 1), *cache_, nothing);
    return {logits_.steps.front().as<float>(), static_cast<std::size_t>(engine_->config().vocab_size)};
  }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Cache> cache_;
  std::vector<std::int64_t> positions_;
  Logits logits_;
};

using bench::ForwardWork;

double target_of(const ForwardWork& work) {
  return work.at_once ? kPrefillTarget : kDecodeTarget;
}

double seconds(const Side& side, const ForwardWork& work, std::span<const TokenId> tokens) {
  std::this_thread::sleep_for(kPause);
  side.forward(tokens.first(1));
  side.crop(work.before);
  const auto start = std::chrono::steady_clock::now();
  if (work.at_once) {
    side.forward(tokens);
  } else {
    for (std::size_t i = 0; i < tokens.size(); ++i) side.forward(tokens.subspan(i, 1));
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  side.crop(work.before);
  return elapsed.count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
}

// Largest difference over the RMS of the row; NaN where either side has one.
double difference(std::span<const float> a, const std::vector<float>& b) {
  double largest = 0;
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double apart = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(apart <= largest)) largest = apart;
    squares += static_cast<double>(b[i]) * b[i];
  }
  return largest / std::sqrt(squares / static_cast<double>(b.size()));
}

// Both sides hold the prefix afterwards. Throws std::runtime_error when their logits say that they do not do
// the same.
void require_same_work(const Side& native, const Side& torch, std::span<const TokenId> prefix,
                       std::span<const TokenId> next) {
  const auto compare = [&](std::span<const TokenId> tokens) {
    const std::span<const float> logits = torch.forward(tokens);
    const std::vector<float> theirs(logits.begin(), logits.end());
    const double apart = difference(native.forward(tokens), theirs);
    const bool same = apart <= kSameWork;
    if (!same) {
      throw std::runtime_error(fmt::format("not the same work: logits differ by {:.2g} of their RMS", apart));
    }
  };
  for (const Side* side : {&native, &torch}) side->crop(0);
  if (!prefix.empty()) compare(prefix);
  compare(next.first(prefix.empty() ? next.size() : 1));
  for (const Side* side : {&native, &torch}) side->crop(static_cast<std::int64_t>(prefix.size()));
}

// One line; true when the target is reached.
bool measure(const ForwardWork& work, int rounds, int threads, const Side& native, const Side& torch,
             std::int64_t vocab) {
  const std::vector<TokenId> tokens = prompt(work.before + work.tokens, vocab);
  const auto all = std::span(tokens);
  const auto timed = all.subspan(static_cast<std::size_t>(work.before));
  require_same_work(native, torch, all.first(static_cast<std::size_t>(work.before)), timed);

  std::vector<double> ratios, native_rates, torch_rates;
  for (int round = 0; round < rounds; ++round) {
    const bool native_first = round % 2 == 0;
    const double first = seconds(native_first ? native : torch, work, timed);
    const double second = seconds(native_first ? torch : native, work, timed);
    const double ours = native_first ? first : second;
    const double theirs = native_first ? second : first;
    ratios.push_back(theirs / ours);
    native_rates.push_back(static_cast<double>(work.tokens) / ours);
    torch_rates.push_back(static_cast<double>(work.tokens) / theirs);
  }
  const double median = quantile(ratios, 0.5);
  const bool reached = median >= target_of(work);
  fmt::print(
      "{:<18} {} thread{}  native/torch speed {:.2f} (median of {} pairs, quartiles {:.2f}-{:.2f}; "
      "target {:.1f}{})  tokens/s: {:.1f} and {:.1f}\n",
      work.name, threads, threads == 1 ? " " : "s", median, rounds, quantile(ratios, 0.25),
      quantile(ratios, 0.75), target_of(work), reached ? "" : ", MISSED", quantile(native_rates, 0.5),
      quantile(torch_rates, 0.5));
  std::fflush(stdout);
  return reached;
}

// Of this process, in GiB; 0 where the system does not say.
double resident() {
#if defined(__GLIBC__)
  ::malloc_trim(0);  // what loading has freed would pass for the next side's
#endif
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stod(line.substr(8)) / (1 << 20);
  }
  return 0;
}

void print_load(const char* when) {
  double load[1] = {0};
  if (::getloadavg(load, 1) == 1) fmt::print("load of the machine {}: {:.2f}\n", when, load[0]);
}

int run(const Options& options) {
  print_load("before");
  const double at_start = resident();
  bench::TorchQwen2 torch(options.model, kCapacity);
  const Side torch_side{[&](std::span<const TokenId> tokens) { return torch.forward(tokens); },
                        [&](std::int64_t length) { torch.crop(length); }};
  const double with_torch = resident();
  bool reached = true;
  for (std::size_t i = 0; i < options.threads.size(); ++i) {
    const int threads = options.threads[i];
    NativeSide native(options, threads);
    if (i == 0) {
      fmt::print("memory of its own: LibTorch {:.2f} GiB, native {:.2f} GiB; instruction set {}\n",
                 with_torch - at_start, resident() - with_torch, native.engine().info().isa);
    }
    bench::TorchQwen2::set_threads(threads);
    for (const ForwardWork& work : bench::forward_work()) {
      reached = measure(work, options.rounds, threads, native.side(), torch_side,
                        native.engine().config().vocab_size) &&
                reached;
    }
  }
  print_load("after");
  return reached || !options.check ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
    fmt::print("{}", kUsage);
    return 0;
  }
  try {
    return run(parse(arguments));
  } catch (const Error& e) {
    std::cerr << e.what() << "\n";
    return 2;
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
