#include <iostream>
#include <set>

#include <fmt/format.h>

#include "cli/verbs.h"
#include "harness/metrics.h"
#include "harness/trace_file.h"

namespace plumbline::cli {
namespace {

constexpr int kEqual = 0, kDifferent = 1, kNothingInCommon = 3;

struct Options {
  std::string a, b;
};

// All tensors of a trace under the names that the file gave them.
std::map<std::string, const Tensor*> by_name(const Trace& trace) {
  std::map<std::string, const Tensor*> named;
  for (const TraceStep& step : trace.steps) {
    for (const auto& [site, tensor] : step.tensors) {
      named[fmt::format("seq.{}/step.{}/{}", step.sequence, step.step, site_name(site))] = &tensor;
    }
  }
  return named;
}

// A line about two tensors; `equal` says whether they hold the same bits.
std::string compare_tensors(const Tensor& a, const Tensor& b, bool& equal) {
  equal = a.dtype() == b.dtype() && a.shape() == b.shape() &&
          std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin(), b.bytes().end());
  if (equal) return "equal";
  if (!(a.shape() == b.shape())) {
    return fmt::format("shapes {} and {}", a.shape().to_string(), b.shape().to_string());
  }
  const ErrorStats stats = measure_error(a.view(), b.view());
  std::string text = fmt::format("max abs {:.2e}, mean abs {:.2e}, rms {:.2e}, {} of {} elements differ",
                                 stats.max_abs, stats.mean_abs, stats.rms, stats.different, stats.compared);
  if (stats.not_finite > 0) text += fmt::format(", {} not finite", stats.not_finite);
  if (a.dtype() != b.dtype())
    text += fmt::format(", {} and {}", dtype_name(a.dtype()), dtype_name(b.dtype()));
  return text;
}

int run(const Options& options) {
  const Trace a = read_trace(options.a), b = read_trace(options.b);
  const auto left = by_name(a), right = by_name(b);
  std::set<std::string> names;
  for (const auto& [name, tensor] : left) names.insert(name);
  for (const auto& [name, tensor] : right) names.insert(name);
  int equal_count = 0, different = 0, missing = 0;
  for (const std::string& name : names) {
    const auto in_a = left.find(name), in_b = right.find(name);
    if (in_a == left.end() || in_b == right.end()) {
      std::cout << fmt::format("{:<52} only in {}\n", name, in_a == left.end() ? options.b : options.a);
      ++missing;
      continue;
    }
    bool equal = false;
    const std::string line = compare_tensors(*in_a->second, *in_b->second, equal);
    (equal ? equal_count : different) += 1;
    if (!equal) std::cout << fmt::format("{:<52} {}\n", name, line);
  }
  std::cout << fmt::format("{} equal, {} different, {} in one file only\n", equal_count, different, missing);
  if (equal_count + different == 0) return kNothingInCommon;
  return different + missing == 0 ? kEqual : kDifferent;
}

}  // namespace

Verb add_compare(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("compare", "Two traces, tensor by tensor; no judgement of who is right");
  command->footer(
      "Exit status: 0 equal bit for bit, 1 different or a probe missing, 2 unreadable, 3 nothing in common.\n"
      "Example:\n  plumbline compare a.safetensors b.safetensors");
  command->add_option("A", options->a, "A trace")->required();
  command->add_option("B", options->b, "Another")->required();
  return {command, [options] { return run(*options); }};
}

}  // namespace plumbline::cli
