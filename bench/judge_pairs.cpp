// What judging costs, as ratios of things timed in the same run:
//   judging a trace of 64 tokens over one forward pass of the reference in f64 on the same tokens, both on
//   one thread; comparing two trace files over only reading them.
//
//   build/judge_pairs --model DIR [--check]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/bench_main.h"
#include "harness/error.h"
#include "harness/judge.h"
#include "harness/metrics.h"
#include "harness/parallel.h"
#include "harness/tensor_file.h"
#include "harness/trace.h"
#include "impl/cpu/engine.h"
#include "reference/replay.h"

namespace {

using namespace plumbline;
using Clock = std::chrono::steady_clock;

constexpr double kMostForwards = 6;      // judging over one forward pass in f64
constexpr double kLeastBandwidth = 0.6;  // comparing over reading, bytes per second

struct Options {
  std::filesystem::path model;
  std::int64_t tokens = 64;
  int rounds = 5;
  std::int64_t mebibytes = 1024;  // of each trace file
  bool check = false;
};

template <typename Body>
double seconds(const Body& body) {
  const auto begin = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Spread {
  double median, low, high;  // quartiles
};

Spread spread(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double part) {
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {at(0.5), at(0.25), at(0.75)};
}

// Returns the median of judging over a forward pass.
double measure_judging(const Options& options) {
  std::vector<TokenId> tokens;
  for (std::int64_t i = 0; i < options.tokens; ++i) tokens.push_back(static_cast<TokenId>(i * 7919 % 1000));
  const auto engine = native::make_cpu_engine(options.model, {});
  const reference::Referee referee = reference::make_referee(options.model, DType::f32);
  const Tolerances tolerances = Tolerances::load(PLUMBLINE_SOURCE_DIR "/fixtures/tolerances.yaml");
  const Trace trace = record_prefill(*engine, tokens);
  const ProbeFilter last({"lm_head"});
  JudgeOptions one_thread;
  one_thread.threads = 1;
  bool right = true;
  const auto judge_it = [&](const JudgeOptions& how) {
    right = judge(trace, *referee.replayer, tolerances, how).wrong().empty() && right;
  };
  record_prefill(*referee.truth, tokens, last);  // both have read their weights then
  judge_it(one_thread);
  std::vector<double> ratios, on_all;
  for (int round = 0; round < options.rounds; ++round) {
    const double forward = seconds([&] { record_prefill(*referee.truth, tokens, last); });
    const double judging = seconds([&] { judge_it(one_thread); });
    const double faster = seconds([&] { judge_it({}); });
    ratios.push_back(judging / forward);
    on_all.push_back(judging / faster);
  }
  if (!right) throw Error("has ops that are wrong", "the native engine's trace", "./run_phases.sh --phase 3");
  const Spread cost = spread(ratios), gain = spread(on_all);
  fmt::print(
      "judging {} tokens: {:.2f} forward passes in f64 (median of {}, quartiles {:.2f}-{:.2f}; at most "
      "{:.0f})\n",
      options.tokens, cost.median, options.rounds, cost.low, cost.high, kMostForwards);
  fmt::print("judging on all cores: {:.2f} times as fast as on one (quartiles {:.2f}-{:.2f})\n", gain.median,
             gain.low, gain.high);
  return cost.median;
}

void write_traces(const std::filesystem::path& folder, std::int64_t mebibytes) {
  constexpr std::int64_t kElements = 4 << 20;  // 16 MiB each
  Tensor values(DType::f32, Shape{kElements / 1024, 1024});
  for (const char* name : {"a", "b"}) {
    const std::span<float> data = values.values<float>();
    for (std::size_t i = 0; i < data.size(); ++i) {
      data[i] = static_cast<float>(i * 2654435761u % 65521) / 65521 * (name[0] == 'a' ? 1.0f : 1.000001f);
    }
    std::vector<NamedView> tensors;
    for (std::int64_t i = 0; i < mebibytes / 16; ++i) {
      tensors.push_back({fmt::format("model.layers.{}.mlp.gate_proj", i), values.view()});
    }
    write_tensor_file(folder / name, {{"format", "plumbline-trace"}}, tensors);
  }
}

std::uint64_t sum_of_words(const TensorView& view) {
  using Words = std::uint64_t __attribute__((vector_size(64)));
  Words sums[4] = {};
  const auto* bytes = static_cast<const std::byte*>(view.data);
  const auto size = static_cast<std::size_t>(view.elements()) * dtype_size(view.dtype);
  for (std::size_t at = 0; at + sizeof sums <= size; at += sizeof sums) {
    Words words[4];
    std::memcpy(words, bytes + at, sizeof words);
    for (int i = 0; i < 4; ++i) sums[i] += words[i];
  }
  return sums[0][0] + sums[1][0] + sums[2][0] + sums[3][0];
}

// Returns the median of comparing's bytes per second over reading's.
double measure_comparing(const Options& options, const std::filesystem::path& folder) {
  write_traces(folder, options.mebibytes);
  std::vector<double> ratios, rates;
  std::vector<std::uint64_t> read(static_cast<std::size_t>(options.mebibytes / 16));
  std::atomic<std::int64_t> different = 0;
  // One round goes before, unmeasured: the files are in the page cache then.
  for (int round = -1; round < options.rounds; ++round) {
    const double reading = seconds([&] {
      const MappedTensorFile a(folder / "a"), b(folder / "b");
      parallel_for(a.tensors().size(), 0, [&](std::size_t i) {
        read[i] = sum_of_words(a.tensors()[i].view) + sum_of_words(b.tensors()[i].view);
      });
    });
    const double comparing = seconds([&] {
      const MappedTensorFile a(folder / "a"), b(folder / "b");
      parallel_for(a.tensors().size(), 0, [&](std::size_t i) {
        different += measure_error(a.tensors()[i].view, b.tensors()[i].view).different;
      });
    });
    if (round < 0) continue;
    ratios.push_back(reading / comparing);
    rates.push_back(2 * static_cast<double>(options.mebibytes) / 1024 / comparing);
  }
  if (different == 0) throw Error("found no difference", "comparing");
  const Spread share = spread(ratios);
  fmt::print(
      "comparing two traces of {} MiB: {:.2f} of the speed of reading them (median of {}, quartiles "
      "{:.2f}-{:.2f}; at least {:.1f}), {:.1f} GiB/s\n",
      options.mebibytes, share.median, options.rounds, share.low, share.high, kLeastBandwidth,
      spread(rates).median);
  return share.median;
}

// Removed at the end, with what is in it.
struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "judge_pairs.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error("cannot be made", name, "set TMPDIR");
    path = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
};

int run(const Options& options) {
  const double forwards = measure_judging(options);
  const Folder folder;
  const double bandwidth = measure_comparing(options, folder.path);
  const bool reached = forwards <= kMostForwards && bandwidth >= kLeastBandwidth;
  return reached || !options.check ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("What judging a trace and comparing two cost.", "judge_pairs");
  app.add_option("--model", options.model, "Checkpoint directory")->required();
  app.add_option("--tokens", options.tokens, "Of the judged trace (64)")->check(CLI::Range(1, 4096));
  app.add_option("--rounds", options.rounds, "Pairs per figure (5)")->check(CLI::Range(1, 1000));
  app.add_option("--mebibytes", options.mebibytes, "Of each compared trace (1024)")
      ->check(CLI::Range(16, 16384));
  app.add_flag("--check", options.check, "Exit 1 when a median misses its target");
  return plumbline::bench::bench_main(app, argc, argv, [&] { return run(options); });
}
