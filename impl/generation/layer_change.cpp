#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/generation/layer_summary.h"

namespace plumbline::native {
namespace {

constexpr const char* kWhere = "layer comparison";

double cosine_of_means(const LayerStatistics& a, const LayerStatistics& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.channels.size(); ++i) {
    const double x = a.channels[i].mean, y = b.channels[i].mean;
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa > 0 && bb > 0 ? ab / (std::sqrt(aa) * std::sqrt(bb)) : 0;
}

}  // namespace

LayerChange compare(const LayerStatistics& a, const LayerStatistics& b, int channels) {
  if (a.channels.size() != b.channels.size()) {
    throw Error(fmt::format("rows of {} and of {}", a.channels.size(), b.channels.size()), kWhere);
  }
  if (channels < 0) throw Error(fmt::format("{} channels", channels), kWhere, "0 or more");
  LayerChange made;
  made.layer_a = a.layer;
  made.layer_b = b.layer;
  made.cosine = cosine_of_means(a, b);
  made.norm = a.mean_norm > 0 ? b.mean_norm / a.mean_norm - 1 : 0;
  std::vector<LayerChange::Channel> all;
  for (std::size_t i = 0; i < a.channels.size(); ++i) {
    if (a.channels[i].mean == b.channels[i].mean) continue;
    all.push_back({static_cast<std::int64_t>(i), a.channels[i].mean, b.channels[i].mean});
  }
  made.channels.resize(std::min(static_cast<std::size_t>(channels), all.size()));
  std::partial_sort_copy(all.begin(), all.end(), made.channels.begin(), made.channels.end(),
                         [](const LayerChange::Channel& x, const LayerChange::Channel& y) {
                           const double one = std::abs(x.mean_b - x.mean_a),
                                        other = std::abs(y.mean_b - y.mean_a);
                           return one > other || (one == other && x.channel < y.channel);
                         });
  return made;
}

std::vector<LayerChange> compare(const LayerSummary& a, const LayerSummary& b, int channels) {
  const std::vector<LayerStatistics> of_a = a.layers(), of_b = b.layers();
  if (a.probe() != b.probe() || of_a.size() != of_b.size()) {
    throw Error(fmt::format("{} of {} layers and {} of {}", probe_spec(a.probe()).name, of_a.size(),
                            probe_spec(b.probe()).name, of_b.size()),
                kWhere, "compare the same probe");
  }
  std::vector<LayerChange> made;
  for (std::size_t i = 0; i < of_a.size(); ++i) made.push_back(compare(of_a[i], of_b[i], channels));
  return made;
}

std::string text_of(const std::vector<LayerChange>& changes) {
  std::string text =
      "changes: cosine of the channels' means, mean norm, then channels whose means are farthest apart, as "
      "channel:from>to\n";
  for (const LayerChange& each : changes) {
    text += each.layer_a < 0               ? std::string("model:")
            : each.layer_a == each.layer_b ? fmt::format("layer {}:", each.layer_a)
                                           : fmt::format("layer {} to {}:", each.layer_a, each.layer_b);
    text += fmt::format(" cosine {:.4f} norm {:+.3g} %", each.cosine, each.norm * 100);
    for (const LayerChange::Channel& channel : each.channels) {
      text += fmt::format(" {}:{:.3g}>{:.3g}", channel.channel, channel.mean_a, channel.mean_b);
    }
    text += '\n';
  }
  return text;
}

}  // namespace plumbline::native
