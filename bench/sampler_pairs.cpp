// The native sampler's speed beside LibTorch's chain and a full sort, as ratios of things timed in one run.
//
//   build/sampler_pairs [--rounds N] [--check]
#include <iostream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/sampler_ratios.h"
#include "harness/error.h"

namespace {

using plumbline::bench::Quartiles;

std::string describe(const Quartiles& ratio, double target) {
  const std::string text = fmt::format("{:.1f} ({:.1f} to {:.1f})", ratio.median, ratio.low, ratio.high);
  return target > 0 ? text + fmt::format(", target {}", target) : text;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"How many times longer than the native sampler the others take, over 151,936 logits"};
  int rounds = 51;
  bool check = false;
  app.add_option("--rounds", rounds, "Timed rounds")->capture_default_str()->check(CLI::Range(3, 100000));
  app.add_flag("--check", check, "Exit 1 where a median misses its target");
  CLI11_PARSE(app, argc, argv);
  try {
    bool reached = true;
    for (const auto& each : plumbline::bench::measure_sampler(rounds)) {
      std::cout << fmt::format("{}: {:.0f} us; LibTorch x {}; full sort x {}\n", each.what, each.microseconds,
                               describe(each.torch, each.torch_target),
                               describe(each.full_sort, each.full_sort_target));
      reached =
          reached && each.torch.median >= each.torch_target && each.full_sort.median >= each.full_sort_target;
    }
    return check && !reached ? 1 : 0;
  } catch (const std::exception& problem) {
    std::cerr << "sampler_pairs: " << problem.what() << '\n';
    return 2;
  }
}
