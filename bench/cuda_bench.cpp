// The CUDA engine's speed as a share of what the device reaches by itself, in bf16: decode of one sequence
// against the bandwidth of a copy, prefill of 2,048 tokens against cuBLASLt's own rate on the largest
// projection. Each round takes the engine and its limit one right after the other, the order changing; what
// is read is their ratio.
//
//   for s in 0.5b 1.5b 7b; do build/plumbline-make-model --shape $s --dtype bf16 -o models/$s; done
//   build/cuda_bench --model models/0.5b --model models/1.5b --model models/7b --python PYTHON --check
//
// Without a device it exits 3 and says why. It has been compiled, and not yet been run on a device
// (docs/cuda.md).
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/bench_main.h"
#include "bench/generation_child.h"
#include "harness/sampling.h"
#include "impl/config.h"
#include "impl/cuda/description.h"
#include "impl/cuda/engine.h"
#include "impl/cuda/measure.h"

namespace {

using namespace plumbline;

constexpr int kNothingMeasured = 3;
constexpr std::size_t kCopyBytes = std::size_t{2} << 30;
constexpr std::int64_t kPrompt = 128, kDecoded = 64, kPrefill = 2048;

struct Options {
  std::vector<std::filesystem::path> models;
  int rounds = 9;
  std::string python;
  bool check = false;
};

// Shares of the limit that are asked of a shape; others are shown alone.
struct Target {
  std::int64_t hidden;
  double decode;
  std::optional<double> prefill;
};
constexpr Target kTargets[] = {{896, 0.55, std::nullopt}, {1536, 0.70, std::nullopt}, {3584, 0.85, 0.60}};

const Target* target_of(const ModelConfig& config) {
  const auto* const found = std::ranges::find(kTargets, config.hidden_size, &Target::hidden);
  return found == std::end(kTargets) ? nullptr : found;
}

struct Sizes {
  double layer_weights;  // multiplied by in all layers, elements
  double decode_bytes;   // read for one token behind `kPrompt` to `kPrompt + kDecoded` others
  double prefill_operations;
};

// Counted is what no engine can do without: every weight once, the keys and values that are held once; in a
// prefill the products with the layers' weights, scores and contexts of the allowed keys, the last row's
// logits.
Sizes sizes_of(const ModelConfig& config) {
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto layers = static_cast<double>(config.num_hidden_layers);
  const auto query = static_cast<double>(config.num_attention_heads * config.head_dim);
  const auto key_value = static_cast<double>(config.num_key_value_heads * config.head_dim);
  const double attention = 2 * hidden * query + 2 * hidden * key_value;
  const double mlp = 3 * hidden * static_cast<double>(config.intermediate_size);
  const double small = query + 2 * key_value + 2 * hidden;  // biases, norms
  const double head = hidden * static_cast<double>(config.vocab_size);
  Sizes sizes{};
  sizes.layer_weights = layers * (attention + mlp);
  const double held = static_cast<double>(kPrompt) + static_cast<double>(kDecoded) / 2;
  sizes.decode_bytes =
      2 * (sizes.layer_weights + layers * small + head + 2 * hidden + layers * 2 * key_value * held);
  const auto tokens = static_cast<double>(kPrefill);
  sizes.prefill_operations =
      2 * tokens * sizes.layer_weights + layers * 2 * query * tokens * (tokens + 1) + 2 * head;
  return sizes;
}

std::vector<TokenId> prompt(std::int64_t length, std::int64_t vocab) {
  std::vector<TokenId> tokens(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<TokenId>((i * 7919 + 13) % static_cast<std::size_t>(vocab));
  return tokens;
}

// One sequence of the engine over a fixed cache.
class Sequence {
 public:
  Sequence(Engine& engine, std::int64_t capacity)
      : engine_(engine),
        cache_(engine.make_cache({CacheKind::fixed, 1, capacity, engine.info().storage})),
        sampler_(engine.device_sampler(0)) {
    require(sampler_ != nullptr, "cuda_bench: the engine has no sampler of its own");
  }

  // From an empty cache; returns when the device is done.
  double prefill_seconds(const std::vector<TokenId>& tokens) {
    cache_->clear(0);
    engine_.synchronize();
    const auto start = std::chrono::steady_clock::now();
    feed(tokens);
    engine_.synchronize();
    return since(start);
  }
  // Of one token, the mean over kDecoded greedy ones: their ids come back to the host, one by one.
  double decode_seconds(const std::vector<TokenId>& tokens) {
    prefill_seconds(tokens);
    std::vector<TokenId> history = tokens;
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t i = 0; i < kDecoded; ++i) {
      const TensorView logits = feed(std::span(&history.back(), 1));
      const SamplingStep step{logits, history, i};
      NullSink nothing;
      history.push_back(sampler_->sample(step, SamplingParams{}, nothing));
    }
    return since(start) / static_cast<double>(kDecoded);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  TensorView feed(std::span<const TokenId> tokens) {
    positions_.resize(tokens.size());
    std::iota(positions_.begin(), positions_.end(), cache_->length(0));
    const SequenceStep step{0, tokens, positions_, LogitsWanted::last};
    NullSink nothing;
    return engine_.forward(std::span(&step, 1), *cache_, nothing).steps.at(0);
  }

  Engine& engine_;
  std::unique_ptr<Cache> cache_;
  std::shared_ptr<Sampler> sampler_;
  std::vector<std::int64_t> positions_;
};

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
}

// A rate of the engine and one of the device, measured in rounds.
struct Pairs {
  std::vector<double> engine, limit, shares;

  template <typename Engine, typename Limit>
  void add(bool engine_first, const Engine& measure_engine, const Limit& measure_limit) {
    double ours = engine_first ? measure_engine() : 0;
    const double most = measure_limit();
    if (!engine_first) ours = measure_engine();
    engine.push_back(ours);
    limit.push_back(most);
    shares.push_back(ours / most);
  }
};

// One line; true when the target is reached, or there is none.
bool tell(const std::string& name, const Pairs& pairs, std::optional<double> target, double unit,
          const std::string& unit_name) {
  const double median = quantile(pairs.shares, 0.5);
  const bool reached = !target || median >= *target;
  fmt::print(
      "{:<26} {:.1f} % of the limit (median of {} pairs, quartiles {:.1f}-{:.1f}{}{})  {}: {:.1f} of "
      "{:.1f}\n",
      name, 100 * median, pairs.shares.size(), 100 * quantile(pairs.shares, 0.25),
      100 * quantile(pairs.shares, 0.75), target ? fmt::format("; target {:.0f}", 100 * *target) : "",
      reached ? "" : ", MISSED", unit_name, quantile(pairs.engine, 0.5) / unit,
      quantile(pairs.limit, 0.5) / unit);
  std::fflush(stdout);
  return reached;
}

// LibTorch's figures on the same device, by bench/cuda_peer.py.
void tell_peer(const Options& options, const std::filesystem::path& model, const std::string& name) {
  if (options.python.empty()) return;
  bench::ChildProcess peer({options.python, std::string(PLUMBLINE_SOURCE_DIR) + "/bench/cuda_peer.py",
                            "--model", model.string(), "--rounds", std::to_string(options.rounds), "--prompt",
                            std::to_string(kPrompt), "--decode", std::to_string(kDecoded), "--prefill",
                            std::to_string(kPrefill)});
  bool told = false;
  while (const std::optional<std::string> line = peer.read_line()) {
    fmt::print("{:<26} {}\n", name, *line);
    told = true;
  }
  std::fflush(stdout);
  if (!told) throw Error("it measured nothing", "bench/cuda_peer.py", "its error is above");
}

// Before the engine's weights lie on the device: both would be in each other's way.
bool measure(const Options& options, const std::filesystem::path& model, native::cuda::DeviceWork& copy) {
  const std::string name = model.filename().string();
  tell_peer(options, model, name + ", transformers");
  native::CudaOptions bf16;
  bf16.storage = DType::bf16;
  const std::unique_ptr<Engine> engine = native::make_cuda_engine(model, bf16);
  const ModelConfig& config = engine->config();
  const Sizes sizes = sizes_of(config);
  const Target* const target = target_of(config);
  Sequence sequence(*engine, kPrefill + kDecoded);
  const std::vector<TokenId> brief = prompt(kPrompt, config.vocab_size),
                             whole = prompt(kPrefill, config.vocab_size);
  const auto library = native::cuda::make_matmul_work(config.intermediate_size, config.hidden_size, kPrefill);
  const double product = 2 * static_cast<double>(kPrefill) * static_cast<double>(config.hidden_size) *
                         static_cast<double>(config.intermediate_size);

  const auto decode = [&] { return sizes.decode_bytes / sequence.decode_seconds(brief); };
  const auto copied = [&] { return 2 * static_cast<double>(kCopyBytes) / copy.seconds(); };
  const auto prefill = [&] { return sizes.prefill_operations / sequence.prefill_seconds(whole); };
  const auto largest = [&] { return product / library->seconds(); };
  Pairs decoding, prefilling;
  for (int round = -1; round < options.rounds; ++round) {  // the first is a rehearsal
    Pairs unused;
    (round < 0 ? unused : decoding).add(round % 2 == 0, decode, copied);
    if (library) (round < 0 ? unused : prefilling).add(round % 2 == 0, prefill, largest);
  }
  bool reached =
      tell(name + ", decode", decoding, target ? std::optional(target->decode) : std::nullopt, 1e9, "GB/s");
  fmt::print("{:<26} {:.1f} tokens/s behind {} tokens, {:.3f} GB read for each\n", name + ", decode",
             quantile(decoding.engine, 0.5) / sizes.decode_bytes, kPrompt, sizes.decode_bytes / 1e9);
  if (library == nullptr) {
    fmt::print("{:<26} no limit to hold it against: this build or machine has no cuBLASLt\n",
               name + ", prefill");
    return reached;
  }
  reached = tell(name + ", prefill of 2048", prefilling, target ? target->prefill : std::nullopt, 1e12,
                 "TFLOP/s") &&
            reached;
  fmt::print("{:<26} {:.0f} tokens/s\n", name + ", prefill of 2048",
             static_cast<double>(kPrefill) * quantile(prefilling.engine, 0.5) / sizes.prefill_operations);
  return reached;
}

int run(const Options& options) {
  if (const std::string problem = native::cuda_device_problem(); !problem.empty()) {
    fmt::print(stderr, "cuda_bench: nothing was measured: {}\n", problem);
    return kNothingMeasured;
  }
  for (const auto& [name, value] : native::cuda_description()) fmt::print("{:<26} {}\n", name, value);
  const std::unique_ptr<native::cuda::DeviceWork> copy = native::cuda::make_copy_work(kCopyBytes);
  bool reached = true;
  for (const std::filesystem::path& model : options.models)
    reached = measure(options, model, *copy) && reached;
  return reached || !options.check ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("The CUDA engine's speed as a share of what the device reaches by itself", "cuda_bench");
  app.add_option("--model", options.models, "A checkpoint; may be repeated")->required();
  app.add_option("--rounds", options.rounds, "Pairs per figure")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--python", options.python,
                 "A Python with torch for CUDA and transformers: measures them beside");
  app.add_flag("--check", options.check, "Exit 1 when a median is below its target");
  return bench::bench_main(app, argc, argv, [&] { return run(options); });
}
