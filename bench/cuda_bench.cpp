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
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/bench_main.h"
#include "bench/cuda_limits.h"
#include "bench/cuda_pairs.h"
#include "bench/cuda_sequence.h"
#include "bench/generation_child.h"
#include "impl/config.h"
#include "impl/cuda/description.h"
#include "impl/cuda/engine.h"
#include "impl/cuda/measure.h"

namespace {

using namespace plumbline;
using namespace plumbline::bench;

constexpr int kNothingMeasured = 3;
constexpr std::size_t kCopyBytes = std::size_t{2} << 30;

struct Options {
  std::vector<std::filesystem::path> models;
  int rounds = 9;
  std::string python;
  std::string decode = "automatic";
  bool check = false;
};

const std::map<std::string, native::CudaDecode>& ways_to_decode() {
  static const std::map<std::string, native::CudaDecode> ways{{"automatic", native::CudaDecode::automatic},
                                                              {"graph", native::CudaDecode::graph},
                                                              {"launches", native::CudaDecode::launches}};
  return ways;
}

// LibTorch's figures on the same device, by bench/cuda_peer.py.
void tell_peer(const Options& options, const std::filesystem::path& model, const std::string& name) {
  if (options.python.empty()) return;
  ChildProcess peer({options.python, std::string(PLUMBLINE_SOURCE_DIR) + "/bench/cuda_peer.py", "--model",
                     model.string(), "--rounds", std::to_string(options.rounds), "--prompt",
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

struct Measured {
  Pairs decoding, prefilling;  // the second is empty where there is no cuBLASLt
};

// Decode and prefill in turns, each beside its limit.
Measured measure_rounds(int rounds, Engine& engine, native::cuda::DeviceWork& copy) {
  const ModelConfig& config = engine.config();
  const Sizes sizes = sizes_of(config);
  Sequence sequence(engine, kPrefill + kDecoded);
  const std::vector<TokenId> brief = some_prompt(kPrompt, config.vocab_size),
                             whole = some_prompt(kPrefill, config.vocab_size);
  const auto library = native::cuda::make_matmul_work(config.intermediate_size, config.hidden_size, kPrefill);
  const double product = 2 * static_cast<double>(kPrefill) * static_cast<double>(config.hidden_size) *
                         static_cast<double>(config.intermediate_size);

  const auto decode = [&] { return sizes.decode_bytes / sequence.decode_seconds(brief); };
  const auto copied = [&] { return 2 * static_cast<double>(kCopyBytes) / copy.seconds(); };
  const auto prefill = [&] { return sizes.prefill_operations / sequence.prefill_seconds(whole); };
  const auto largest = [&] { return product / library->seconds(); };
  Measured measured, rehearsed;
  for (int round = -1; round < rounds; ++round) {
    Measured& kept = round < 0 ? rehearsed : measured;
    kept.decoding.add(round % 2 == 0, decode, copied);
    if (library) kept.prefilling.add(round % 2 == 0, prefill, largest);
  }
  return measured;
}

bool tell_decode(const std::string& name, const Pairs& pairs, const Sizes& sizes, const Target* target) {
  const bool reached = tell(name, pairs, target ? std::optional(target->decode) : std::nullopt, 1e9, "GB/s");
  fmt::print("{:<26} {:.1f} tokens/s behind {} tokens, {:.3f} GB read for each\n", name,
             quantile(pairs.engine, 0.5) / sizes.decode_bytes, kPrompt, sizes.decode_bytes / 1e9);
  return reached;
}

bool tell_prefill(const std::string& name, const Pairs& pairs, const Sizes& sizes, const Target* target) {
  if (pairs.shares.empty()) {
    fmt::print("{:<26} no limit to hold it against: this build or machine has no cuBLASLt\n",
               name + ", prefill");
    return true;
  }
  const std::string of_2048 = name + ", prefill of 2048";
  const bool reached = tell(of_2048, pairs, target ? target->prefill : std::nullopt, 1e12, "TFLOP/s");
  fmt::print("{:<26} {:.0f} tokens/s\n", of_2048,
             static_cast<double>(kPrefill) * quantile(pairs.engine, 0.5) / sizes.prefill_operations);
  return reached;
}

// LibTorch's figures come before the engine's weights lie on the device: both would be in each other's way.
bool measure(const Options& options, const std::filesystem::path& model, native::cuda::DeviceWork& copy) {
  const std::string name = model.filename().string();
  tell_peer(options, model, name + ", transformers");
  native::CudaOptions bf16;
  bf16.storage = DType::bf16;
  bf16.decode = ways_to_decode().at(options.decode);
  const std::unique_ptr<Engine> engine = native::make_cuda_engine(model, bf16);
  const Sizes sizes = sizes_of(engine->config());
  const Target* const target = target_of(engine->config());
  const Measured measured = measure_rounds(options.rounds, *engine, copy);
  const bool decoded = tell_decode(name + ", decode", measured.decoding, sizes, target);
  const bool prefilled = tell_prefill(name, measured.prefilling, sizes, target);
  return decoded && prefilled;
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
  app.add_option("--decode", options.decode, "How decode steps are launched")
      ->check(CLI::IsMember(ways_to_decode()))
      ->capture_default_str();
  app.add_flag("--check", options.check, "Exit 1 when a median is below its target");
  return bench::bench_main(app, argc, argv, [&] { return run(options); });
}
