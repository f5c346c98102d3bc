#include "phases/support/sampling_grid.h"

#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/golden_checks.h"
#include "harness/weight_hash.h"
#include "phases/support/chain.h"
#include "phases/support/goldens.h"
#include "phases/support/sides.h"
#include "phases/support/subject_sampler.h"
#include "phases/support/suite.h"
#include "reference/sampler.h"

namespace plumbline::phases {
namespace {

// Of a vocabulary: stages that were compared, and stages that rounding may decide either way.
struct Stages {
  std::int64_t compared = 0, undecided = 0;
};

LogitKind kind_of(const std::string& name) {
  for (const LogitKind kind : kLogitKinds) {
    if (logit_kind_name(kind) == name) return kind;
  }
  throw Error(fmt::format("no made-up logits are called '{}'", name), "the sampling grid");
}

Probe probe_of(const std::string& stage) {
  OpSite site;
  if (!parse_site("sample." + stage, site)) {
    throw Error(fmt::format("there is no stage '{}'", stage), "the sampling grid");
  }
  return site.probe;
}

// Biases of tokens outside the vocabulary are left out, as the script does.
SamplingParams params_of(const nlohmann::json& combination, std::int64_t vocab) {
  SamplingParams params;
  params.temperature = combination.value("temperature", 1.0);  // which divides by 1: exact
  params.top_k = combination.value("top_k", std::int64_t{0});
  params.top_p = combination.value("top_p", 1.0);
  params.min_p = combination.value("min_p", 0.0);
  params.repetition_penalty = combination.value("repetition_penalty", 1.0);
  for (const nlohmann::json& entry : combination.value("logit_bias", nlohmann::json::array())) {
    const TokenId token = entry.at(0);
    const nlohmann::json& bias = entry.at(1);
    if (token >= vocab) continue;
    params.logit_bias.push_back(
        {token, bias == "-inf" ? -std::numeric_limits<double>::infinity() : bias.get<double>()});
  }
  return params;
}

std::string digest(const TensorView& values) {
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < values.elements(); ++i) {
    kept += std::isfinite(element_as_f64(values, i)) ? 1 : 0;
  }
  const auto* bytes = static_cast<const std::byte*>(values.data);
  const auto size = static_cast<std::size_t>(values.elements()) * sizeof(float);
  return fmt::format("{} kept, SHA-256 {}", kept, sha256_hex({bytes, size}));
}

// The reference's f32 softmax is transformers' own; in a row of many small probabilities beside a large one
// that is off by more than the gate, so the native sampler is held to the softmax of transformers' scores in
// f64.
void record_probabilities(const std::string& side, const std::string& name, const nlohmann::json& entry,
                          const Tensor& actual) {
  const auto ids = entry.at("best").get<std::vector<std::int64_t>>();
  const auto values = entry.at(side == "native" ? "exact" : "probabilities").get<std::vector<double>>();
  const Shape shape{static_cast<std::int64_t>(values.size())};
  const Tensor expected = Tensor::from<double>(DType::f64, shape, std::span(values));
  const double gate = tolerances().gate("probability_cut");  // of all comparisons of probabilities
  record(check_close(fmt::format("{} and transformers: largest probabilities", side), name,
                     elements_at(actual.view(), ids).view(), expected.view(), gate));
  if (actual.elements() <= shape.elements()) return;  // there is no other
  record(check_none_better(fmt::format("{} and transformers: no other is larger", side), name, actual.view(),
                           ids, expected.view(), gate));
}

void record_case(const LogitRow& row, const SamplingParams& params, const nlohmann::json& entry,
                 const std::string& side, Sampler& sampler) {
  const std::string name = fmt::format("{}, {}", row.name, describe(params));
  const Draw draw = record_draw(sampler, row.step(0.5), params);
  for (const auto& [stage, kept_and_hash] : entry.at("stages").items()) {
    const Tensor& actual = draw.stages.at(probe_of(stage));
    record_equal(fmt::format("sample.{}, {} and transformers", stage, side), name,
                 fmt::format("{} kept, SHA-256 {}", kept_and_hash.at(0).get<std::int64_t>(),
                             kept_and_hash.at(1).get<std::string>()),
                 digest(actual.view()));
  }
  if (entry.at("undecided").empty()) {
    record_probabilities(side, name, entry, draw.stages.at(Probe::sample_probs));
  }
}

Stages record_row(const nlohmann::json& grid, const nlohmann::json& entry) {
  LogitRow row = made_up_row(kind_of(entry.at("kind")), entry.at("vocab"));
  row.history.clear();
  for (const nlohmann::json& token : grid.at("history")) {
    row.history.push_back(static_cast<TokenId>(token.get<std::int64_t>() % row.vocab()));
  }
  const auto* bytes = row.logits.bytes().data();
  const std::string made = sha256_hex({bytes, row.logits.bytes().size()});
  record_equal("made-up logits are those of the goldens", row.name,
               entry.at("logits_sha256").get<std::string>(), made);
  if (made != entry.at("logits_sha256")) return {};  // the recipes differ: of the samplers this says nothing
  const std::shared_ptr<Sampler> native_sampler = subject_sampler();
  const std::unique_ptr<Sampler> reference_sampler = reference::make_sampler();
  Stages stages;
  for (const nlohmann::json& each : entry.at("cases")) {
    const SamplingParams params =
        params_of(grid.at("combinations").at(each.at("combination").get<std::size_t>()), row.vocab());
    record_case(row, params, each, "native", *native_sampler);
    record_case(row, params, each, "reference", *reference_sampler);
    stages.compared +=
        static_cast<std::int64_t>(each.at("stages").size()) + (each.at("undecided").empty() ? 1 : 0);
    stages.undecided += static_cast<std::int64_t>(each.at("undecided").size());
  }
  return stages;
}

}  // namespace

void record_sampling_grid(const std::filesystem::path& file, std::int64_t largest_vocab) {
  const nlohmann::json grid = read_json(file);
  std::map<std::int64_t, Stages> by_vocab;
  try {
    for (const nlohmann::json& entry : grid.at("rows")) {
      if (entry.at("vocab") > largest_vocab) continue;
      const Stages stages = record_row(grid, entry);
      by_vocab[entry.at("vocab")].compared += stages.compared;
      by_vocab[entry.at("vocab")].undecided += stages.undecided;
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(error.what(), file.string(), "remake it by fixtures/scripts/goldens_sampling_grid.py");
  }
  if (by_vocab.empty()) throw Error("has no rows", file.string());
  for (const auto& [vocab, stages] : by_vocab) {
    if (stages.undecided == 0) continue;
    record_skip(fmt::format("transformers' chain over {} tokens", vocab),
                fmt::format("{} of {} stages are undecided: what they keep lies within rounding of an edge, "
                            "or follows a stage of which that is true",
                            stages.undecided, stages.compared + stages.undecided));
  }
}

}  // namespace plumbline::phases
