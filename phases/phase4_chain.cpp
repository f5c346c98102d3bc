// Phase 4, the whole chain: combinations of all stages on rows of every shape, transformers' own results, and
// what must be refused.
#include <functional>
#include <limits>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "bench/sampler_ratios.h"
#include "harness/checks.h"
#include "phases/support/chain.h"
#include "phases/support/sampling_grid.h"
#include "phases/support/sides.h"
#include "phases/support/subject_sampler.h"
#include "phases/support/suite.h"
#include "reference/sampler.h"

namespace plumbline::phases {
namespace {

// Every combination of the chain's stages, each off and on.
std::vector<SamplingParams> grid() {
  std::vector<SamplingParams> all;
  for (const double temperature : {0.0, 0.7, 1.3}) {
    for (const std::int64_t k : {0, 20}) {
      for (const double p : {1.0, 0.8}) {
        for (const double min_p : {0.0, 0.05}) {
          for (const bool penalties : {false, true}) {
            SamplingParams params;
            params.temperature = temperature;
            params.top_k = k;
            params.top_p = p;
            params.min_p = min_p;
            if (penalties) {
              params.repetition_penalty = 1.3;
              params.frequency_penalty = 0.4;
              params.presence_penalty = 0.3;
              params.logit_bias = {{0, -1.5}};
            }
            if (temperature == 0.0 && (k > 0 || p < 1 || min_p > 0)) continue;  // greedy has no filters
            all.push_back(params);
          }
        }
      }
    }
  }
  return all;
}

}  // namespace

TEST_CASE("4B.3 the chain: combinations of all stages on a model's logits", "[4B.3]") {
  const std::vector<double> uniforms = options().quick ? std::vector{0.3} : std::vector{0.3, 0.9};
  const std::vector<SamplingParams> combinations = grid();
  std::size_t first = 0;
  for (const LogitRow& row : model_rows()) {
    const std::size_t step = options().quick && row.vocab() > 10'000 ? 7 : 1;
    for (std::size_t i = first % step; i < combinations.size(); i += step) {
      for (const double u : uniforms) record_chain(row, combinations[i], u);
    }
    first += 3;
  }
}

TEST_CASE("4B.3 the chain: combinations of all stages on made-up logits of any vocabulary", "[4B.3]") {
  const std::vector<std::int64_t> vocabularies =
      options().quick ? std::vector<std::int64_t>{5} : std::vector<std::int64_t>{1, 2, 5, 1000};
  for (const std::int64_t vocab : vocabularies) {
    for (const LogitKind kind : kLogitKinds) {
      const LogitRow row = made_up_row(kind, vocab);
      for (const SamplingParams& params : grid()) record_chain(row, params, 0.6);
    }
  }
}

TEST_CASE("4B.3 the chain: combinations of all stages over Qwen2's vocabulary of 151,936", "[4B.3]") {
  // All of them on ordinary logits; on each other kind every third, so that two kinds share each.
  const std::vector<SamplingParams> combinations = grid();
  std::size_t first = 0;
  for (const LogitKind kind : kLogitKinds) {
    const LogitRow row = made_up_row(kind, 151'936);
    const std::size_t step = options().quick ? combinations.size() : (kind == LogitKind::normal ? 1 : 3);
    for (std::size_t i = first % step; i < combinations.size(); i += step)
      record_chain(row, combinations[i], 0.6);
    first += options().quick ? 5 : 1;
  }
}

TEST_CASE("4B.3 the chain: each stage of Hugging Face's chain gives the same logits", "[4B.3]") {
  if (!goldens()) return record_skip("golden chain", "no goldens for these weights");
  if (goldens()->sampling.is_null())
    return record_skip("golden chain", "these goldens have no sampling.json");
  const GoldenTensors tensors(goldens()->directory / goldens()->sampling.at("file").get<std::string>());
  for (const nlohmann::json& entry : goldens()->sampling.at("cases")) {
    const std::string name = entry.at("name");
    std::vector<TokenId> history{};
    for (const GoldenPrompt& prompt : goldens()->prompts) {
      if (prompt.name == entry.at("prompt")) history = prompt.ids;
    }
    SamplingParams params;
    std::map<std::string, Probe> stage_of;
    const std::map<std::string, Probe> probes{{"repetition_penalty", Probe::sample_penalized},
                                              {"temperature", Probe::sample_scaled},
                                              {"top_k", Probe::sample_top_k},
                                              {"top_p", Probe::sample_top_p},
                                              {"min_p", Probe::sample_min_p}};
    for (const nlohmann::json& stage : entry.at("chain")) {
      const std::string tensor = stage.at("tensor");
      const std::string kind = tensor.substr(tensor.rfind('.') + 1);
      const double value = stage.at("value");
      stage_of[tensor] = probes.at(kind);
      if (kind == "repetition_penalty") params.repetition_penalty = value;
      if (kind == "temperature") params.temperature = value;
      if (kind == "top_k") params.top_k = static_cast<std::int64_t>(value);
      if (kind == "top_p") params.top_p = value;
      if (kind == "min_p") params.min_p = value;
    }
    const SamplingStep step{tensors.at(name + ".logits").view(), history, 0, 0.5};
    const Draw native_run = record_draw(*subject_sampler(), step, params);
    const Draw reference_run = record_draw(*reference::make_sampler(), step, params);
    for (const auto& [tensor, probe] : stage_of) {
      const std::string stage = std::string(probe_spec(probe).name);
      record(check_same_bits(stage + ", native and golden", name, native_run.stages.at(probe).view(),
                             tensors.at(tensor).view()));
      record(check_same_bits(stage + ", reference and golden", name, reference_run.stages.at(probe).view(),
                             tensors.at(tensor).view()));
    }
  }
}

TEST_CASE("4B.3 the chain: its speed beside LibTorch's and a full sort", "[4B.3]") {
  const auto ratio = [](const bench::Quartiles& each) {
    return fmt::format("{:.1f} ({:.1f} to {:.1f})", each.median, each.low, each.high);
  };
  Evidence table;
  table.title =
      "Time of one draw over 151,936 logits, and how many times longer the others take: medians and "
      "quartiles of "
      "the ratios within a round. Shown, not judged: build/sampler_pairs --check does that";
  table.header = {"chain", "native", "LibTorch's chain", "a full radix sort"};
  for (const bench::SamplerRatios& each : bench::measure_sampler(options().quick ? 5 : 15)) {
    // Two: each of the two sums may part from the other's by a token within rounding of the cut.
    record(check_at_most("the chains that are timed do the same work", each.what, "tokens kept apart",
                         static_cast<double>(each.kept_apart), 2));
    table.rows.push_back(
        {each.what, fmt::format("{:.0f} us", each.microseconds), ratio(each.torch), ratio(each.full_sort)});
  }
  add_evidence(std::move(table));
}

TEST_CASE("4B.3 the chain: what cannot be sampled from is refused", "[4B.3]") {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  struct Refusal {
    const char* what;
    std::vector<float> logits{1, 2, 3};
    std::function<void(SamplingParams&)> change = [](SamplingParams&) {};
    std::vector<TokenId> history{};
    double uniform = 0.5;
  };
  const auto set = [](double SamplingParams::*field, double value) {
    return [=](SamplingParams& params) { params.*field = value; };
  };
  using P = SamplingParams;
  const std::vector<Refusal> refusals{
      {"a NaN logit", {1, nan, 2}},
      {"a NaN logit, greedy", {1, nan, 2}, set(&P::temperature, 0)},
      {"all -inf", {-inf, -inf}},
      {"all -inf, greedy", {-inf, -inf}, set(&P::temperature, 0)},
      {"a logit of +inf", {1, inf}},
      {"no logits", {}},
      {"all banned",
       {1},
       [](P& params) {
         params.logit_bias = {{0, -std::numeric_limits<double>::infinity()}};
       }},
      {"negative temperature", {1, 2}, set(&P::temperature, -1)},
      {"NaN temperature", {1, 2}, set(&P::temperature, nan)},
      {"a temperature that makes logits infinite", {1, 2}, set(&P::temperature, 1e-40)},
      {"top-p of 1.5", {1, 2}, set(&P::top_p, 1.5)},
      {"top-p of -0.1", {1, 2}, set(&P::top_p, -0.1)},
      {"min-p of 2", {1, 2}, set(&P::min_p, 2)},
      {"top-k of -1", {1, 2}, [](P& params) { params.top_k = -1; }},
      {"repetition penalty of 0", {1, 2}, set(&P::repetition_penalty, 0)},
      {"presence penalty of NaN", {1, 2}, set(&P::presence_penalty, nan)},
      {"a biased token outside the vocabulary",
       {1, 2},
       [](P& params) {
         params.logit_bias = {{2, 1}};
       }},
      {"a history token outside the vocabulary", {1, 2}, set(&P::repetition_penalty, 1.1), {2}},
      {"a uniform of 1", {1, 2}, [](P&) {}, {}, 1.0},
  };
  const auto outcome = [](Sampler& sampler, const Refusal& refusal) {
    SamplingParams params;
    params.temperature = 1;
    refusal.change(params);
    NullSink nothing;
    const auto vocab = static_cast<std::int64_t>(refusal.logits.size());
    const SamplingStep step{
        {refusal.logits.data(), DType::f32, {vocab}}, refusal.history, 0, refusal.uniform};
    try {
      return fmt::format("token {}", sampler.sample(step, params, nothing));
    } catch (const Error&) {
      return std::string("refused");
    }
  };
  for (const Refusal& refusal : refusals) {
    record_equal(refusal.what, "native", "refused", outcome(*subject_sampler(), refusal));
    record_equal(refusal.what, "reference", "refused", outcome(*reference::make_sampler(), refusal));
  }
}

TEST_CASE("4B.3 the chain: transformers' processors on made-up logits give the same bits", "[4B.3]") {
  constexpr std::int64_t kQwen2Vocabulary = 151'936;
  record_sampling_grid(options().fixtures / "goldens" / "sampling" / "grid.json",
                       options().quick ? kQwen2Vocabulary - 1 : kQwen2Vocabulary);
}

}  // namespace plumbline::phases
