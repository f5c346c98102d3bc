// Errors split into what an op did itself and what it was handed.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "harness/explain.h"

namespace plumbline {
namespace {

// Of one op in one step; relative L2 against truth's output.
struct Split {
  double local = 0, inherited = 0, accumulated = 0;
  double inputs = 0;  // the largest accumulated error of what it read
};

OpSite source_of(const OpInput& input, OpSite site, int layers) {
  switch (input.source) {
    case InputSource::residual_stream: {
      const int layer = site.layer < 0 ? layers : site.layer;
      return layer == 0 ? OpSite{Probe::embed_tokens, -1} : OpSite{Probe::mlp_residual, layer - 1};
    }
    case InputSource::previous_key:
      return {Probe::k_rope, site.layer};
    case InputSource::previous_value:
      return {Probe::v_proj, site.layer};
    case InputSource::probe:
    case InputSource::mask:
      break;
  }
  return {input.probe, probe_spec(input.probe).scope == ProbeScope::layer ? site.layer : -1};
}

// Difference in units of truth's size; 0 for what cannot be compared.
double relative(const TensorView& a, const TensorView& b, const TensorView& truth,
                const TensorView& allowed) {
  const ErrorStats difference = measure_error(a, b, allowed);
  if (difference.compared == 0) return 0;
  const ErrorStats size = measure_error(Tensor(DType::f64, truth.shape).view(), truth, allowed);
  return size.rms > 0 ? difference.rms / size.rms : 0;
}

double input_error(OpSite site, const RecordedStep& subject, const RecordedStep& truth, int layers) {
  double largest = 0;
  for (const OpInput& input : probe_spec(site.probe).inputs) {
    if (input.source == InputSource::mask) continue;
    const OpSite source = source_of(input, site, layers);
    const TensorView *actual = subject.find(source), *right = truth.find(source);
    if (actual == nullptr || right == nullptr || !(actual->shape == right->shape)) continue;
    if (!is_floating(right->dtype)) continue;
    largest = std::max(largest, relative(*actual, *right, *right, {}));
  }
  return largest;
}

std::optional<Split> split_of(OpSite site, const RecordedStep& subject, const RecordedStep& truth,
                              const Replayer& replayer, DType storage) {
  const TensorView *actual = subject.find(site), *right = truth.find(site);
  if (actual == nullptr || right == nullptr || !(actual->shape == right->shape)) return std::nullopt;
  std::string why;
  std::optional<Replay> replay;
  try {
    replay = replayer.replay(site, subject, storage, why);
  } catch (const Error&) {
    return std::nullopt;
  }
  if (!replay || !(replay->expected.shape() == actual->shape)) return std::nullopt;
  const TensorView allowed = replay->allowed.empty() ? TensorView{} : replay->allowed.view();
  const TensorView expected = replay->expected.view();
  const int layers = static_cast<int>(replayer.config().num_hidden_layers);
  return Split{relative(*actual, expected, *right, allowed), relative(expected, *right, *right, allowed),
               relative(*actual, *right, *right, allowed), input_error(site, subject, truth, layers)};
}

std::string op_name(Probe probe) {
  const std::string name(probe_spec(probe).name);
  return probe_spec(probe).component == "cache" ? "past_key_values " + name : name;
}

std::string figure(double value) {
  return value == 0 ? "0" : fmt::format("{:.1e}", value);
}

struct Row {
  int count = 0;
  Split sum;              // of squares over the layers
  double worst_gain = 0;  // inherited / inputs
  OpSite worst;
};

}  // namespace

Evidence error_split(const Trace& subject, const Trace& truth, const Replayer& replayer) {
  std::map<Probe, Row> rows;
  for (std::size_t i = 0; i < std::min(subject.steps.size(), truth.steps.size()); ++i) {
    const TraceStepView step(subject, i), right(truth, i);
    for (const OpSite site : replayer.sites()) {
      if (!is_floating(probe_spec(site.probe).dtype)) continue;
      const std::optional<Split> split = split_of(site, step, right, replayer, subject.metadata.storage);
      if (!split) continue;
      Row& row = rows[site.probe];
      ++row.count;
      row.sum.local += split->local * split->local;
      row.sum.inherited += split->inherited * split->inherited;
      row.sum.accumulated += split->accumulated * split->accumulated;
      const double gain = split->inputs > 0 ? split->inherited / split->inputs : 0;
      if (gain > row.worst_gain) {
        row.worst_gain = gain;
        row.worst = site;
      }
    }
  }
  Evidence table{"errors split by op: local, inherited, amplified",
                 {"op", "sites", "local", "inherited", "accumulated", "amplified at most", "at"},
                 {}};
  for (const auto& [probe, row] : rows) {
    const auto rms = [&](double squares) { return std::sqrt(squares / row.count); };
    const bool gains = row.worst_gain > 0;
    table.rows.push_back({op_name(probe), std::to_string(row.count), figure(rms(row.sum.local)),
                          figure(rms(row.sum.inherited)), figure(rms(row.sum.accumulated)),
                          gains ? fmt::format("{:.2f}", row.worst_gain) : "–",
                          gains ? site_name(row.worst) : "–"});
  }
  return table;
}

}  // namespace plumbline
