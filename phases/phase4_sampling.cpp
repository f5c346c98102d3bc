// Phase 4: does the sampler chain choose what it should? Both sides are fed the same logits and the same
// uniforms; every stage is judged by the reference's replay of the stage's own input.
#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "impl/rng.h"
#include "impl/sampler.h"
#include "phases/support/chain.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/sampler.h"

namespace plumbline::phases {

void prepare() {
  load_sides(LoadTokenizers::when_asked_for);
}

namespace {

constexpr double kLargestUniform = 1.0 - 0x1p-53;

struct LogitRow {
  std::string name;
  std::vector<TokenId> history;
  std::vector<float> logits;
};

// The reference's last row of logits for some prompts, as they are and flattened (a real model's are peaked).
std::vector<LogitRow> make_logit_rows() {
  std::vector<LogitRow> rows;
  std::set<std::string> seen;  // where the goldens are few, one prompt may be nearest to two of these
  std::vector<Prompt> prompts{prompt_like("prose", 37)};
  if (!options().quick) {
    prompts.push_back(prompt_like("hello", 1));
    prompts.push_back(prompt_like("chat", 112));
  }
  for (const Prompt& prompt : prompts) {
    if (!seen.insert(prompt.name).second) continue;
    const Trace trace = record_prefill(reference(), prompt.ids, ProbeFilter({"lm_head"}));
    const Tensor last = copy_host(trace.steps.at(0).tensors.at({Probe::lm_head, -1}).view().last_rows(1));
    const std::span<const float> values = last.values<float>();
    LogitRow row{prompt.name, prompt.ids, {values.begin(), values.end()}};
    rows.push_back(row);
    for (float& logit : row.logits) logit *= 0.25f;
    row.name += " flattened";
    rows.push_back(std::move(row));
  }
  return rows;
}

// Made once for all cases.
const std::vector<LogitRow>& logit_rows() {
  static const std::vector<LogitRow> rows = make_logit_rows();
  return rows;
}

SamplingParams at_temperature(double temperature) {
  SamplingParams params;
  params.temperature = temperature;
  return params;
}

std::string kept_ids(const Tensor& stage) {
  std::string text;
  for (std::int64_t id = 0; id < stage.elements(); ++id) {
    if (std::isfinite(element_as_f64(stage.view(), id))) text += fmt::format("{} ", id);
  }
  return text;
}

}  // namespace

TEST_CASE("4A.1 RNG: the same seed gives the same stream, another seed, row or step another", "[4A.1]") {
  const auto stream = [](std::uint64_t seed, std::uint64_t row) {
    std::string text;
    for (std::uint64_t step = 0; step < 32; ++step)
      text += fmt::format("{} ", native::uniform(seed, row, step));
    return text;
  };
  record_equal("native stream, drawn twice", "seed 7", stream(7, 0), stream(7, 0));
  record_equal("another seed gives the same stream", "seeds 7 and 8", "false",
               stream(7, 0) == stream(8, 0) ? "true" : "false");
  record_equal("another row gives the same stream", "rows 0 and 1", "false",
               stream(7, 0) == stream(7, 1) ? "true" : "false");

  const std::vector<float> flat(64, 1.0f / 64);
  const auto draws = [&](std::uint64_t seed) {
    return fmt::format("{}", fmt::join(reference::multinomial(flat, 64, seed), " "));
  };
  record_equal("LibTorch's draws, drawn twice", "seed 7", draws(7), draws(7));
  record_equal("another seed gives the same draws", "LibTorch, seeds 7 and 8", "false",
               draws(7) == draws(8) ? "true" : "false");
  add_assumption(
      "the two sides' own streams differ, and should: Philox by seed, row and step on one, LibTorch's "
      "generator on the "
      "other. Parity of draws is asked with one stream of uniforms injected into both.");
}

TEST_CASE("4A.1 RNG: uniforms lie in [0, 1), do not repeat, and average one half", "[4A.1]") {
  constexpr int kDraws = 100000;
  std::set<double> seen;
  double sum = 0;
  bool inside = true;
  for (std::uint64_t step = 0; step < kDraws; ++step) {
    const double u = native::uniform(1, 0, step);
    inside = inside && u >= 0 && u < 1;
    sum += u;
    seen.insert(u);
  }
  record_equal("all in [0, 1)", "100,000 draws, seed 1", "true", inside ? "true" : "false");
  record_equal("distinct values", "100,000 draws, seed 1", std::to_string(kDraws),
               std::to_string(seen.size()));
  // Five standard deviations of the mean of a uniform: 5 / sqrt(12 n).
  record(check_at_most("mean", "100,000 draws, seed 1", "|mean - 1/2|", std::fabs(sum / kDraws - 0.5),
                       5 / std::sqrt(12.0 * kDraws)));
}

TEST_CASE("4A.1 RNG: given the same uniforms, both sides draw the same token", "[4A.1]") {
  for (const LogitRow& row : logit_rows()) {
    for (const double u : {0.0, 0.1, 0.25, 0.5, 0.77, 0.999, kLargestUniform}) {
      record_chain(row.name, row.logits, row.history, at_temperature(1.0), u);
    }
  }
}

TEST_CASE("4A.2 temperature: scaling is exact, softmax within its bound, zero is greedy", "[4A.2]") {
  for (const LogitRow& row : logit_rows()) {
    for (const double temperature : {0.0, 1e-3, 0.1, 0.7, 1.0, 1.5, 1e3}) {
      record_chain(row.name, row.logits, row.history, at_temperature(temperature), 0.5);
    }
  }
}

TEST_CASE("4B.1 top-k: every size of k, and ties at the k-th value are kept", "[4B.1]") {
  for (const LogitRow& row : logit_rows()) {
    const auto vocab = static_cast<std::int64_t>(row.logits.size());
    for (const std::int64_t k :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{3}, std::int64_t{20}, vocab - 1, vocab, vocab + 5}) {
      SamplingParams params = at_temperature(1.0);
      params.top_k = k;
      record_chain(row.name, row.logits, row.history, params, 0.5);
    }
  }
  SamplingParams three = at_temperature(1.0);
  three.top_k = 3;
  const std::vector<float> ties{5, 4, 3, 3, 3, 1};
  record_chain("[5,4,3,3,3,1]", ties, {}, three, 0.5);
  const ChainRun run = run_chain(*native::make_sampler(), ties, {}, three, 0.5);
  record_equal("kept ids", "top-k 3 of [5,4,3,3,3,1]", "0 1 2 3 4 ",
               kept_ids(run.stages.at(Probe::sample_top_k)));
}

TEST_CASE("4B.2 top-p: the kept set, its boundary and what is left to sum to 1", "[4B.2]") {
  for (const LogitRow& row : logit_rows()) {
    for (const double p : {0.0, 0.1, 0.5, 0.8, 0.9, 0.95, 1.0}) {
      SamplingParams params = at_temperature(1.0);
      params.top_p = p;
      record_chain(row.name, row.logits, row.history, params, 0.5);
    }
  }
  SamplingParams half = at_temperature(1.0);
  half.top_p = 0.5;
  const std::vector<float> uniform(8, 0.0f);
  const ChainRun run = run_chain(*native::make_sampler(), uniform, {}, half, 0.5);
  record_equal("kept ids", "top-p 0.5 of eight equal logits", "4 5 6 7 ",
               kept_ids(run.stages.at(Probe::sample_top_p)));
  // Dyadic probabilities, exact in binary: 1/2, 1/4, 1/8, 1/8.
  const float ln2 = std::log(2.0f);
  record_chain("[3,2,1,1] ln 2", std::vector<float>{3 * ln2, 2 * ln2, ln2, ln2}, {}, half, 0.9);
}

TEST_CASE("4B.3 the chain: combinations of all stages", "[4B.3]") {
  const std::vector<double> uniforms = options().quick ? std::vector{0.3} : std::vector{0.3, 0.9};
  for (const LogitRow& row : logit_rows()) {
    for (const double temperature : {0.0, 0.7, 1.3}) {
      for (const std::int64_t k : {0, 20}) {
        for (const double p : {0.8, 1.0}) {
          for (const double penalty : {1.0, 1.3}) {
            SamplingParams params = at_temperature(temperature);
            params.top_k = k;
            params.top_p = p;
            params.min_p = k == 0 ? 0.0 : 0.05;
            params.repetition_penalty = penalty;
            for (const double u : uniforms) record_chain(row.name, row.logits, row.history, params, u);
          }
        }
      }
    }
  }
}

TEST_CASE("4B.3 the chain: each stage of Hugging Face's chain gives the same logits", "[4B.3]") {
  if (!goldens()) return record_skip("golden chain", "no goldens for these weights");
  if (goldens()->sampling.is_null())
    return record_skip("golden chain", "these goldens have no sampling.json");
  const GoldenTensors tensors(goldens()->directory / goldens()->sampling.at("file").get<std::string>());
  for (const nlohmann::json& entry : goldens()->sampling.at("cases")) {
    const std::string name = entry.at("name");
    std::vector<TokenId> history;
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
    const std::span<const float> logits = tensors.at(name + ".logits").values<float>();
    const ChainRun native_run = run_chain(*native::make_sampler(), logits, history, params, 0.5);
    const ChainRun reference_run = run_chain(*reference::make_sampler(), logits, history, params, 0.5);
    for (const auto& [tensor, probe] : stage_of) {
      const std::string stage = std::string(probe_spec(probe).name);
      record(check_same_bits(stage + ", native and golden", name, native_run.stages.at(probe).view(),
                             tensors.at(tensor).view()));
      record(check_same_bits(stage + ", reference and golden", name, reference_run.stages.at(probe).view(),
                             tensors.at(tensor).view()));
    }
  }
}

TEST_CASE("4B.3 the chain: what cannot be sampled from is refused", "[4B.3]") {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto outcome = [](Sampler& sampler, const std::vector<float>& logits, const SamplingParams& params) {
    NullSink nothing;
    try {
      return fmt::format("token {}", sampler.sample(logits, {}, params, 0.5, nothing));
    } catch (const Error&) {
      return std::string("refused");
    }
  };
  SamplingParams bad_p = at_temperature(1.0);
  bad_p.top_p = 1.5;
  const std::unique_ptr<Sampler> native_sampler = native::make_sampler(),
                                 reference_sampler = reference::make_sampler();
  for (Sampler* sampler : {native_sampler.get(), reference_sampler.get()}) {
    const std::string side = sampler == native_sampler.get() ? "native" : "reference";
    record_equal("a NaN logit", side, "refused", outcome(*sampler, {1, nan, 2}, at_temperature(1.0)));
    record_equal("a NaN logit, greedy", side, "refused", outcome(*sampler, {1, nan, 2}, at_temperature(0.0)));
    record_equal("all -inf", side, "refused", outcome(*sampler, {-inf, -inf}, at_temperature(1.0)));
    record_equal("no logits", side, "refused", outcome(*sampler, {}, at_temperature(1.0)));
    record_equal("negative temperature", side, "refused", outcome(*sampler, {1, 2}, at_temperature(-1.0)));
    record_equal("top-p of 1.5", side, "refused", outcome(*sampler, {1, 2}, bad_p));
  }
}

}  // namespace plumbline::phases
