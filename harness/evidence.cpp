#include "harness/evidence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/report_text.h"
#include "harness/statistics.h"

namespace plumbline {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
std::string share_text(double share) {
  return share < 100 ? fmt::format("{:.3f}", share) : figure(share);
}

bool is_wrong(const OpResult& op) {
  return op.verdict != Verdict::passed && op.verdict != Verdict::skipped;
}

// Neighbouring parts that are looked into together, under the words that engineers use.
std::string component_of(OpSite site) {
  const std::string name(probe_spec(site.probe).component);
  if (name == "input" || name == "mask") return "inputs and mask";
  if (name == "position") return "position encoding";
  if (name == "norm" || name == "residual") return "norm and residual";
  if (name == "head") return "embedding and head";
  if (name == "embedding") return "embedding and head";
  return name;
}

// Layers as columns, the ops of a layer as rows: those within reach of a bound, and exact ones that are
// wrong.
std::optional<Picture> heat_map(const Judgement& judgement) {
  std::set<Probe> probes;
  std::map<std::pair<Probe, int>, double> shares;
  int layers = 0;
  for (const OpResult& op : judgement.ops) {
    if (op.site.layer < 0 || op.verdict == Verdict::skipped) continue;
    // What is wrong without being beyond its gate (a slope, a missing probe) is as far from passing.
    const double share = is_wrong(op) && op.share <= 1 ? kInfinity : op.share;
    double& largest_share = shares[{op.site.probe, op.site.layer}];
    largest_share = std::max(largest_share, share);
    layers = std::max(layers, op.site.layer + 1);
    probes.insert(op.site.probe);
  }
  if (probes.empty()) return std::nullopt;
  Picture picture;
  picture.kind = Picture::Kind::heat_map;
  picture.name = "share_by_layer_and_op";
  picture.title = "Largest share of its gate that each op used";
  picture.x_label = "layer";
  picture.y_label = "error / gate";
  for (int layer = 0; layer < layers; ++layer) picture.columns.push_back(std::to_string(layer));
  for (const Probe probe : probes) {
    const std::string cache = probe_spec(probe).op == OpClass::cache_update ? "past_key_values." : "";
    picture.rows.push_back(cache + std::string(probe_spec(probe).name));
    std::vector<double>& row = picture.values.emplace_back();
    for (int layer = 0; layer < layers; ++layer) {
      const auto found = shares.find({probe, layer});
      row.push_back(found == shares.end() ? kNan : found->second);
    }
  }
  return picture;
}

// One layer over several judgements.
struct LayerErrors {
  double share = 0, local = 0;
  OpSite share_at, local_at;
  std::vector<double> relative, rms;  // of the residual stream after it, one of each for each judgement
};

std::map<int, LayerErrors> errors_of_layers(std::span<const Judgement* const> judgements) {
  std::map<int, LayerErrors> layers;
  for (const Judgement* judgement : judgements) {
    for (const OpResult& op : judgement->ops) {
      if (op.site.layer < 0 || op.verdict == Verdict::skipped) continue;
      LayerErrors& layer = layers[op.site.layer];
      if (!(op.share <= layer.share) || layer.share == 0) layer.share_at = op.site;
      if (!(op.local.relative_l2 <= layer.local) || layer.local == 0) layer.local_at = op.site;
      layer.share = std::max(layer.share, op.share);
      layer.local = std::max(layer.local, op.local.relative_l2);
      if (op.site.probe == Probe::mlp_residual && op.accumulated) {
        layer.relative.push_back(op.accumulated->relative_l2);
        layer.rms.push_back(op.accumulated->rms);
      }
    }
  }
  return layers;
}

// Ratios of a layer's errors to those of the layer before, run by run.
std::vector<double> ratios(const std::map<int, LayerErrors>& layers, int layer) {
  const auto before = layers.find(layer - 1);
  std::vector<double> result;
  if (before == layers.end()) return result;
  const std::vector<double>&now = layers.at(layer).rms, &then = before->second.rms;
  for (std::size_t run = 0; run < std::min(now.size(), then.size()); ++run) {
    if (then[run] > 0) result.push_back(now[run] / then[run]);
  }
  return result;
}

double largest(const std::vector<double>& values) {
  return values.empty() ? kNan : *std::max_element(values.begin(), values.end());
}

std::string or_dash(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "–";
}

Picture layer_picture(const std::map<int, LayerErrors>& layers) {
  Picture picture;
  picture.name = "error_by_layer";
  picture.title = "Error by layer: largest local error of an op, and accumulated in the residual stream";
  picture.x_label = "layer";
  picture.y_label = "relative error (L2, no unit)";
  Series accumulated{"accumulated", {}, {}}, local{"local", {}, {}};
  for (const auto& [number, layer] : layers) {
    accumulated.x.push_back(number);
    accumulated.y.push_back(largest(layer.relative));
    local.x.push_back(number);
    local.y.push_back(layer.local);
  }
  picture.curves = {std::move(accumulated), std::move(local)};
  return picture;
}

}  // namespace

Evidence share_by_op(const Judgement& judgement) {
  struct Row {
    int checks = 0;
    double share = 0;
    double slope = 0;
    OpSite worst;
  };
  std::map<OpClass, Row> rows;
  for (const OpResult& op : judgement.ops) {
    Row& row = rows[op.judged_as];
    if (row.checks++ == 0 || op.share > row.share) row.worst = op.site;
    row.share = std::max(row.share, op.share);
    row.slope = std::max(row.slope, op.slope);
  }
  Evidence table{"share of the gate used, by op", {"op", "checks", "largest share", "at", "slope z"}, {}};
  for (const auto& [op, row] : rows) {
    table.rows.push_back({std::string(op_class_name(op)), std::to_string(row.checks), share_text(row.share),
                          site_name(row.worst), row.slope > 0 ? fmt::format("{:.2f}", row.slope) : "–"});
  }
  table.picture = heat_map(judgement);
  return table;
}

Evidence share_by_component(const Judgement& judgement) {
  struct Part {
    std::string name;
    int checks = 0, wrong = 0;
    double share = 0;
    OpSite worst;
    std::optional<OpSite> first_wrong;
  };
  std::vector<Part> parts;
  for (const OpResult& op : judgement.ops) {
    const std::string name = component_of(op.site);
    auto part = std::ranges::find(parts, name, &Part::name);
    if (part == parts.end()) {
      parts.emplace_back().name = name;
      part = parts.end() - 1;
    }
    if (part->checks++ == 0 || op.share > part->share) part->worst = op.site;
    part->share = std::max(part->share, op.share);
    if (!is_wrong(op)) continue;
    ++part->wrong;
    if (!part->first_wrong || op.site < *part->first_wrong) part->first_wrong = op.site;
  }
  std::ranges::stable_sort(parts, [](const Part& a, const Part& b) {
    if (a.first_wrong && b.first_wrong) return *a.first_wrong < *b.first_wrong;
    if (a.first_wrong || b.first_wrong) return a.first_wrong.has_value();
    return a.share > b.share;
  });
  Evidence table{"by component, in the order in which to look into them",
                 {"component", "checks", "wrong", "first wrong", "largest share", "at"},
                 {}};
  for (const Part& part : parts) {
    table.rows.push_back({part.name, std::to_string(part.checks), std::to_string(part.wrong),
                          part.first_wrong ? site_name(*part.first_wrong) : "–", share_text(part.share),
                          site_name(part.worst)});
  }
  return table;
}

Evidence error_by_layer(std::span<const Judgement* const> judgements) {
  const std::map<int, LayerErrors> layers = errors_of_layers(judgements);
  Evidence table{"error by layer",
                 {"layer", "largest share of a gate", "at", "largest local error, relative L2", "at",
                  "accumulated, relative L2", "accumulated, RMS", "growth"},
                 {}};
  std::vector<double> growths;
  for (const auto& [number, layer] : layers) {
    const std::vector<double> here = ratios(layers, number);
    growths.insert(growths.end(), here.begin(), here.end());
    table.rows.push_back(
        {std::to_string(number), share_text(layer.share), std::string(probe_spec(layer.share_at.probe).name),
         fmt::format("{:.2e}", layer.local), std::string(probe_spec(layer.local_at.probe).name),
         or_dash(largest(layer.relative), "{:.2e}"), or_dash(largest(layer.rms), "{:.2e}"),
         or_dash(geometric_mean(here), "{:.2f}")});
  }
  if (const double growth = geometric_mean(growths); std::isfinite(growth)) {
    table.title += fmt::format(": growth factor {:.2f} per layer (geometric mean)", growth);
  }
  if (!layers.empty()) table.picture = layer_picture(layers);
  return table;
}

Evidence error_by_layer(const Judgement& judgement) {
  const Judgement* const one[] = {&judgement};
  return error_by_layer(one);
}

}  // namespace plumbline
