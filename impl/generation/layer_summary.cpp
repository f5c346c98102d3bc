#include "impl/generation/layer_summary.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/generation/row_probes.h"

namespace plumbline::native {

void LayerSummary::Sums::add_row(const float* row) {
  double row_squares = 0;
  for (std::size_t i = 0; i < values.size(); ++i) row_squares += static_cast<double>(row[i]) * row[i];
  ++tokens;
  // No f32 overflows an f64 by its square.
  const bool finite = std::isfinite(row_squares);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = row[i];
    if (!finite && !std::isfinite(x)) {
      ++non_finite[i];
      continue;
    }
    values[i] += x;
    magnitudes[i] += std::abs(x);
    squares += x * x;
    min = std::min(min, x);
    max = std::max(max, x);
    ++elements;
  }
  if (!finite) return;
  ++rows;
  norms += std::sqrt(row_squares);
  max_norm = std::max(max_norm, std::sqrt(row_squares));
}

void LayerSummary::Sums::add(const Sums& other) {
  tokens += other.tokens;
  elements += other.elements;
  rows += other.rows;
  for (const auto& [channel, count] : other.non_finite) non_finite[channel] += count;
  squares += other.squares;
  norms += other.norms;
  max_norm = std::max(max_norm, other.max_norm);
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] += other.values[i];
    magnitudes[i] += other.magnitudes[i];
  }
}

// Without giving memory back: this comes with every call.
void LayerSummary::Sums::reset() {
  std::fill(values.begin(), values.end(), 0);
  std::fill(magnitudes.begin(), magnitudes.end(), 0);
  Sums none;
  none.values.swap(values);
  none.magnitudes.swap(magnitudes);
  *this = std::move(none);
}

LayerSummary::LayerSummary(Engine& engine, Probe probe, int top_channels)
    : engine_(engine),
      probe_(probe),
      top_channels_(top_channels),
      in_layers_(probe_spec(probe).scope == ProbeScope::layer) {
  constexpr const char* kWhere = "layer summary";
  const ModelConfig& config = engine.config();
  const auto width = static_cast<std::size_t>(row_width(config, probe));
  if (width == 0) {
    throw Error(fmt::format("'{}' has no row of activations for each token", probe_spec(probe).name), kWhere);
  }
  if (top_channels < 0) throw Error(fmt::format("{} top channels", top_channels), kWhere, "0 or more");
  Sums none;
  none.values.assign(width, 0);
  none.magnitudes.assign(width, 0);
  sums_.assign(in_layers_ ? static_cast<std::size_t>(config.num_hidden_layers) : 1, none);
  pending_ = sums_;
}

void LayerSummary::begin(std::span<const SequenceStep> steps) {
  tokens_.clear();
  tokens_.begin(steps);
  for (Sums& each : pending_) each.reset();
}

ProbeSink::Access LayerSummary::access(const ProbeId& id) const {
  const bool wanted =
      tokens_.pending(id.sequence) != nullptr && (id.site.probe == probe_ || tokens_.ends(id));
  return wanted ? Access::read : Access::none;
}

void LayerSummary::receive(const ProbeId& id, const TensorView& view) {
  if (id.site.probe == probe_) {
    Sums& sums = pending_.at(in_layers_ ? static_cast<std::size_t>(id.site.layer) : 0);
    const auto width = static_cast<std::int64_t>(sums.values.size());
    const std::int64_t rows = tokens_.pending(id.sequence)->tokens;
    require(view.elements() == rows * width, "layer summary: other rows than begin() said");
    const HostFloats values(engine_, view);
    for (std::int64_t row = 0; row < rows; ++row) sums.add_row(values.data() + row * width);
  }
  if (!tokens_.ends(id) || !tokens_.note_end(id)) return;
  tokens_.commit();
  for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i].add(pending_[i]);
}

LayerStatistics LayerSummary::statistics_of(std::size_t slot) const {
  const Sums& sums = sums_[slot];
  LayerStatistics made;
  made.layer = in_layers_ ? static_cast<int>(slot) : -1;
  made.tokens = sums.tokens;
  const auto over = [](double sum, std::int64_t count) {
    return count == 0 ? 0 : sum / static_cast<double>(count);
  };
  double sum = 0;
  for (std::size_t i = 0; i < sums.values.size(); ++i) {
    const auto left_out = sums.non_finite.find(i);
    const std::int64_t missing = left_out == sums.non_finite.end() ? 0 : left_out->second;
    sum += sums.values[i];
    made.non_finite += missing;
    made.channels.push_back({static_cast<std::int64_t>(i), over(sums.values[i], sums.tokens - missing),
                             over(sums.magnitudes[i], sums.tokens - missing)});
  }
  made.mean = over(sum, sums.elements);
  made.std = std::sqrt(std::max(over(sums.squares, sums.elements) - made.mean * made.mean, 0.0));
  if (sums.elements > 0) {
    made.min = sums.min;
    made.max = sums.max;
  }
  made.mean_norm = over(sums.norms, sums.rows);
  made.max_norm = sums.max_norm;
  const std::size_t most = std::min(static_cast<std::size_t>(top_channels_), made.channels.size());
  made.top.resize(most);
  std::partial_sort_copy(made.channels.begin(), made.channels.end(), made.top.begin(), made.top.end(),
                         [](const ChannelStatistics& a, const ChannelStatistics& b) {
                           return a.mean_magnitude > b.mean_magnitude ||
                                  (a.mean_magnitude == b.mean_magnitude && a.channel < b.channel);
                         });
  return made;
}

std::vector<LayerStatistics> LayerSummary::layers() const {
  std::vector<LayerStatistics> made;
  for (std::size_t slot = 0; slot < sums_.size(); ++slot) made.push_back(statistics_of(slot));
  return made;
}

std::string LayerSummary::text() const {
  std::string text = fmt::format(
      "{}: {} tokens, {} channels. norm: L2 of a token's row. top: channels by mean |x|, as channel:mean\n",
      probe_spec(probe_).name, tokens(), sums_.front().values.size());
  for (const LayerStatistics& each : layers()) {
    text += in_layers_ ? fmt::format("layer {}:", each.layer) : "model:";
    text += fmt::format(" mean {:.3g} std {:.3g} min {:.4g} max {:.4g} norm {:.4g} (max {:.4g})", each.mean,
                        each.std, each.min, each.max, each.mean_norm, each.max_norm);
    if (!each.top.empty()) text += " top";
    for (const ChannelStatistics& channel : each.top)
      text += fmt::format(" {}:{:.3g}", channel.channel, channel.mean);
    if (each.non_finite > 0) text += fmt::format("; {} NaN or infinite, left out", each.non_finite);
    text += '\n';
  }
  return text;
}

void LayerSummary::clear() {
  tokens_.clear();
  for (Sums& each : sums_) each.reset();
}

}  // namespace plumbline::native
