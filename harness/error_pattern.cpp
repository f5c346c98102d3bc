#include "harness/error_pattern.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace plumbline {
namespace {

// An axis of the output as a reader thinks of it.
struct Line {
  std::string name;  // of one place along it
  std::int64_t size = 1;
  std::int64_t stride = 1;
};

const char* name_of(Axis axis) {
  switch (axis) {
    case Axis::tokens:
      return "position";
    case Axis::keys:
      return "key";
    case Axis::heads:
      return "head";
    case Axis::kv_heads:
      return "kv head";
    case Axis::rotary_pairs:
      return "pair";
    case Axis::vocab:
      return "token id";
    default:
      return "channel";
  }
}

std::vector<Line> lines_of(OpSite site, const Shape& shape, std::int64_t head_dim) {
  const std::vector<Axis>& axes = probe_spec(site.probe).shape;
  if (static_cast<int>(axes.size()) != shape.rank()) return {};
  std::vector<Line> lines;
  std::int64_t stride = shape.elements();
  for (int axis = 0; axis < shape.rank(); ++axis) {
    stride /= std::max<std::int64_t>(shape[axis], 1);
    const Axis kind = axes[static_cast<std::size_t>(axis)];
    const bool heads = kind == Axis::query_dim || kind == Axis::key_value_dim;
    if (heads && head_dim > 0 && shape[axis] % head_dim == 0) {
      lines.push_back(
          {kind == Axis::query_dim ? "head" : "kv head", shape[axis] / head_dim, stride * head_dim});
      lines.push_back({"channel", head_dim, stride});
    } else {
      lines.push_back({name_of(kind), shape[axis], stride});
    }
  }
  return lines;
}

// "every head", "heads 2, 3 of 0–7", "channels 11–19 of 0–19", "42 of the 64 channels"
std::string places(const Line& line, const std::vector<bool>& wrong) {
  std::vector<bool> hit(static_cast<std::size_t>(line.size), false);
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    if (wrong[i]) hit[i / static_cast<std::size_t>(line.stride) % hit.size()] = true;
  }
  const std::int64_t count = std::count(hit.begin(), hit.end(), true);
  if (count == line.size) return "every " + line.name;
  const auto first = std::find(hit.begin(), hit.end(), true) - hit.begin();
  const auto last = hit.rend() - std::find(hit.rbegin(), hit.rend(), true) - 1;
  const std::string range = fmt::format(" of 0–{}", line.size - 1);
  if (count == 1) return fmt::format("{} {} alone{}", line.name, first, range);
  if (last - first + 1 == count) return fmt::format("{}s {}–{}{}", line.name, first, last, range);
  constexpr std::int64_t kListed = 8;
  if (count > kListed) return fmt::format("{} of the {} {}s, first {}", count, line.size, line.name, first);
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < hit.size(); ++i) {
    if (hit[i]) list.push_back(i);
  }
  return fmt::format("{}s {}{}", line.name, fmt::join(list, ", "), range);
}

// Smallest and largest of what was added.
struct Range {
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  void add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
};

// Where one input's values at wrong places and at right ones do not overlap.
std::string telling_input(OpSite site, const RecordedStep& step, const Shape& shape,
                          const std::vector<bool>& wrong) {
  for (const OpInput& input : probe_spec(site.probe).inputs) {
    if (input.source != InputSource::probe) continue;
    const bool by_layer = probe_spec(input.probe).scope == ProbeScope::layer;
    const TensorView* values = step.find({input.probe, by_layer ? site.layer : -1});
    if (values == nullptr || !(values->shape == shape)) continue;
    Range bad, good;
    for (std::size_t i = 0; i < wrong.size(); ++i) {
      (wrong[i] ? bad : good).add(element_as_f64(*values, static_cast<std::int64_t>(i)));
    }
    const std::string name(probe_spec(input.probe).name);
    if (bad.least > good.most) {
      return fmt::format("; wrong exactly where {} is {:.3g} and more (right up to {:.3g})", name, bad.least,
                         good.most);
    }
    if (bad.most < good.least) {
      return fmt::format("; wrong exactly where {} is {:.3g} and less (right from {:.3g} on)", name, bad.most,
                         good.least);
    }
  }
  return {};
}

}  // namespace

std::string error_pattern(OpSite site, const RecordedStep& step, const Replay& right,
                          const std::vector<bool>& wrong, std::int64_t head_dim) {
  const TensorView* actual = step.find(site);
  const std::int64_t count = std::count(wrong.begin(), wrong.end(), true);
  if (actual == nullptr || count == 0) return {};
  std::vector<std::string> where;
  for (const Line& line : lines_of(site, actual->shape, head_dim)) where.push_back(places(line, wrong));
  std::int64_t larger = 0;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    const double size = std::fabs(element_as_f64(right.expected.view(), index));
    larger += wrong[i] && std::fabs(element_as_f64(*actual, index)) > size ? 1 : 0;
  }
  return fmt::format("{} of {} elements are wrong: {}; {:.0f} % of them are too large in size{}", count,
                     wrong.size(), fmt::join(where, ", "),
                     100.0 * static_cast<double>(larger) / static_cast<double>(count),
                     telling_input(site, step, actual->shape, wrong));
}

}  // namespace plumbline
