#include <cstring>
#include <iostream>
#include <map>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "cli/verbs.h"
#include "harness/metrics.h"
#include "harness/parallel.h"
#include "harness/tensor_file.h"
#include "harness/trace_file.h"

namespace plumbline::cli {
namespace {

constexpr int kEqual = 0, kDifferent = 1, kNothingInCommon = 3;

struct Options {
  std::string a, b;
};

// The tensors of a trace by their full names. Throws Error for a file that is no trace.
std::map<std::string, TensorView> by_name(const MappedTensorFile& file, const std::string& path) {
  std::map<std::string, TensorView> named;
  trace_metadata(file.metadata(), path);
  for (const NamedView& each : file.tensors()) {
    const bool added = named.emplace(full_trace_name(each.name, path), each.view).second;
    if (!added) throw Error(each.name + ": there with and without a prefix", path);
  }
  if (named.empty()) throw Error("holds no tensor at a probe", path, "nothing to compare");
  return named;
}

bool same_bits(const TensorView& a, const TensorView& b) {
  if (a.dtype != b.dtype || !(a.shape == b.shape)) return false;
  const auto size = static_cast<std::size_t>(a.elements()) * dtype_size(a.dtype);
  return size == 0 || std::memcmp(a.data, b.data, size) == 0;
}

// A line about two tensors that are not the same bits.
std::string describe(const TensorView& a, const TensorView& b) {
  if (!(a.shape == b.shape)) {
    return fmt::format("shapes {} and {}", a.shape.to_string(), b.shape.to_string());
  }
  const ErrorStats stats = measure_error(a, b);
  std::string text = fmt::format("max abs {:.2e}, mean abs {:.2e}, rms {:.2e}, {} of {} elements differ",
                                 stats.max_abs, stats.mean_abs, stats.rms, stats.different, stats.compared);
  if (stats.not_finite > 0) text += fmt::format(", {} not finite", stats.not_finite);
  if (a.dtype != b.dtype) text += fmt::format(", {} and {}", dtype_name(a.dtype), dtype_name(b.dtype));
  return text;
}

// A tensor that one file has, or both.
struct Row {
  std::string name;
  const TensorView *a, *b;
  std::string difference;  // empty: the same bits
  bool in_both() const { return a != nullptr && b != nullptr; }
};

int run(const Options& options) {
  const MappedTensorFile a(options.a), b(options.b);
  const auto left = by_name(a, options.a), right = by_name(b, options.b);
  std::set<std::string> names;
  for (const auto& [name, tensor] : left) names.insert(name);
  for (const auto& [name, tensor] : right) names.insert(name);
  std::vector<Row> rows;
  for (const std::string& name : names) {
    const auto in_a = left.find(name), in_b = right.find(name);
    rows.push_back({name,
                    in_a == left.end() ? nullptr : &in_a->second,
                    in_b == right.end() ? nullptr : &in_b->second,
                    {}});
  }
  parallel_for(rows.size(), 0, [&](std::size_t i) {
    Row& row = rows[i];
    if (row.in_both() && !same_bits(*row.a, *row.b)) row.difference = describe(*row.a, *row.b);
  });
  int equal = 0, different = 0, missing = 0;
  for (const Row& row : rows) {
    if (!row.in_both()) {
      std::cout << fmt::format("{:<52} only in {}\n", row.name, row.a == nullptr ? options.b : options.a);
    } else if (!row.difference.empty()) {
      std::cout << fmt::format("{:<52} {}\n", row.name, row.difference);
    }
    (!row.in_both() ? missing : row.difference.empty() ? equal : different) += 1;
  }
  std::cout << fmt::format("{} equal, {} different, {} in one file only\n", equal, different, missing);
  if (equal + different == 0) return kNothingInCommon;
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
