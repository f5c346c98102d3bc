// Phase 5: the fixed cache against the concatenating one and a full recompute, and what must not change a
// bit.
#include <map>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "bench/peers/torch_qwen2.h"
#include "harness/checks.h"
#include "impl/cpu/engine.h"
#include "impl/cpu/isa.h"
#include "phases/support/cache_contents.h"
#include "phases/support/cache_models.h"
#include "phases/support/cache_report.h"
#include "phases/support/cache_runs.h"
#include "phases/support/invariances.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/engine.h"

namespace plumbline::phases {

namespace {

// Without sliding windows, which it does not have.
void measure_fast(Invariances& into, const std::filesystem::path& model, const ModelConfig& config,
                  const std::string& where, unsigned seed, std::int64_t longest) {
  if (config.use_sliding_window || config.rope.type != "default") return;
  bench::TorchQwen2 engine(model, longest);
  const auto last = [&](std::span<const TokenId> tokens, const std::vector<std::int64_t>& split) {
    engine.crop(0);
    std::span<const float> logits;
    for (const std::int64_t count : split) {
      logits = engine.forward(tokens.first(static_cast<std::size_t>(count)));
      tokens = tokens.subspan(static_cast<std::size_t>(count));
    }
    return Tensor::from<float>(DType::f32, {1, config.vocab_size}, logits);
  };
  into.measure_last(last, config.vocab_size, where, seed, longest);
}

// What may be demanded of the engine as it is by default, where its sums have no one order. Where they have,
// it is the engine of all other checks.
void record_by_default() {
  if (options().engine == "cpu") return;
  const std::unique_ptr<Engine> engine = open_fastest_subject();
  if (engine->info().one_order) return;
  record_skip("cached = uncached, chunks = whole, by default",
              "this engine's sums depend on how many rows there are (cuBLASLt)");
  Invariances calls, reference, fast;
  for (unsigned seed = 1; seed <= (options().quick ? 2u : 8u); ++seed)
    calls.measure_calls(*engine, fmt::format("seed {}", seed), seed, 160);
  record_invariances(calls, reference, fast, "the checkpoint, by default: the same again, and beside others");
}

}  // namespace

TEST_CASE("5C.3 fixed cache: what must not change a bit of the logits, over random models", "[5C.3]") {
  // They are the same for every checkpoint: beside a large one, to be quick, one.
  const bool large = subject().config().vocab_size > 20'000;
  const unsigned models = !options().quick ? 48 : large ? 1 : 3;
  Invariances native, reference, fast;
  for (unsigned seed = 1; seed <= models; ++seed) {
    const RandomModel model(seed);
    const std::string name = fmt::format("model {} ({})", seed, model.shape().to_string());
    const std::unique_ptr<Engine> engine = open_subject(model.directory());
    native.measure(*engine, name, seed, options().quick);
    measure_fast(fast, model.directory(), engine->config(), name, seed, 90);
    if (seed <= 4)
      reference.measure(*reference::make_engine(model.directory(), {options().dtype, 1}), name, seed, true);
    if (options().engine != "cpu") continue;
    const auto open = [&](int threads, const std::string& isa) {
      return native::make_cpu_engine(model.directory(), {threads, isa, options().dtype});
    };
    native.measure_engines(open, {2, 3, 5, 8}, native::available_isas(), name, seed);
  }
  record_invariances(native, reference, fast, fmt::format("{} random models", models));
  record_refusals(native.refusals());
}

TEST_CASE("5C.3 fixed cache: what must not change a bit of the checkpoint's logits", "[5C.3]") {
  // Logits of every position: with a real vocabulary they are most of the work.
  const bool large = subject().config().vocab_size > 20'000, few = options().quick || large;
  Invariances native, reference, fast;
  for (unsigned seed = 1; seed <= (few ? 1u : 4u); ++seed)
    native.measure(subject(), fmt::format("seed {}", seed), seed, few, large ? 12 : 60);
  if (!large) reference.measure(phases::reference(), "seed 1", 1, true, 40);
  if (!options().quick) measure_fast(fast, options().model, subject().config(), "seed 1", 1, 60);
  record_invariances(native, reference, fast, "the checkpoint");
  record_by_default();
}

namespace {

LoopInput loop_input(const Prompt& prompt, double temperature) {
  LoopInput input;
  input.prompt = prompt.ids;
  input.steps = options().quick ? 3 : 12;
  input.sampling.temperature = temperature;
  for (std::int64_t i = 0; i < input.steps; ++i)
    input.uniforms.push_back((static_cast<double>(i * 37 % 100) + 0.5) / 100);
  return input;
}

// To be quick, one prompt is sampled; all are continued greedily.
std::vector<double> temperatures_of(const Prompt& prompt) {
  if (options().quick && prompt.name != line().name) return {0.0};
  return {0.0, 0.7, 1.3};
}

CacheSpec spec_for(CacheKind kind, const LoopInput& input) {
  CacheSpec spec;
  spec.kind = kind;
  if (kind == CacheKind::fixed)
    spec.capacity = static_cast<std::int64_t>(input.prompt.size()) + input.steps - 1;
  return spec;
}

// Tokens and every step's logits.
void record_same_run(const std::string& name, const LoopRun& actual, const LoopRun& expected) {
  record_equal("tokens", name, text_of(expected.tokens), text_of(actual.tokens));
  std::vector<Check> checks;
  for (std::size_t i = 0; i < expected.logits.size(); ++i)
    checks.push_back(
        check_same_bits("logits of every step", name, actual.logits[i].view(), expected.logits[i].view()));
  record_all(merge_passed(std::move(checks)));
}

std::string milliseconds(double seconds, std::int64_t steps) {
  return fmt::format("{:.2f}", 1e3 * seconds / static_cast<double>(std::max<std::int64_t>(steps, 1)));
}

}  // namespace

TEST_CASE("5C.3 fixed cache: every cache generates what a full recompute does, greedy and at a temperature",
          "[5C.3]") {
  Refusals refusals;
  Evidence timed{"time, shown and not judged",
                 {"prompt, temperature", "tokens", "full recompute, ms per token", "cache", "prefill, ms",
                  "decode, ms per token", "cache bytes, first and last step"},
                 {}};
  for (const Prompt& prompt : {word(), words(), line(), passage()}) {
    for (const double temperature : temperatures_of(prompt)) {
      const LoopInput input = loop_input(prompt, temperature);
      const std::string name = fmt::format("{}, temperature {}", prompt.name, temperature);
      const std::unique_ptr<Cache> anew = subject().make_cache(spec_for(CacheKind::concat, input));
      const LoopRun full = run_full_recompute(subject(), *anew, input);
      const CacheSpec grows = spec_for(CacheKind::concat, input), fits = spec_for(CacheKind::fixed, input);
      std::vector<CacheSpec> specs =
          few_cache_specs(1, fits.capacity, static_cast<std::int64_t>(input.prompt.size()));
      specs.front() = grows;
      for (const CacheSpec& spec : specs) {
        const std::unique_ptr<Cache> cache = refusals.make(subject(), spec);
        if (cache == nullptr) continue;
        const LoopRun run = run_loop(subject(), *cache, input);
        record_same_run(fmt::format("{}, {}", name, cache_name(spec)), run, full);
        if (spec.kind == CacheKind::fixed) {
          record_equal("bytes, first and last step", fmt::format("{}, {}", name, cache_name(spec)),
                       std::to_string(run.bytes.front()), std::to_string(run.bytes.back()));
        }
        if (temperature > 0) continue;
        timed.rows.push_back({name, std::to_string(input.prompt.size()),
                              milliseconds(full.decode_seconds, input.steps - 1), cache_name(spec),
                              milliseconds(run.prefill_seconds, 1),
                              milliseconds(run.decode_seconds, input.steps - 1),
                              fmt::format("{}, {}", run.bytes.front(), run.bytes.back())});
      }
    }
  }
  record_refusals(refusals);
  add_evidence(std::move(timed));
}

TEST_CASE("5C.3 fixed cache: prompts over a cleared cache leave no trace in each other", "[5C.3]") {
  const std::vector<Prompt> prompts{passage(), word(), line(), passage()};
  LoopInput longest = loop_input(passage(), 0);
  for (const CacheSpec& spec : few_cache_specs(1, spec_for(CacheKind::fixed, longest).capacity, 4)) {
    Refusals refusals;
    const std::unique_ptr<Cache> used = refusals.make(subject(), spec);
    if (used == nullptr) continue;
    std::map<std::string, LoopRun> fresh;  // of each prompt
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const LoopInput input = loop_input(prompts[i], 0);
      used->clear(0);
      const LoopRun again = run_loop(subject(), *used, input);
      const auto [expected, missing] = fresh.try_emplace(prompts[i].name);
      if (missing) expected->second = run_loop(subject(), *subject().make_cache(spec), input);
      record_same_run(
          fmt::format("{}, prompt {} ({}) over a cleared cache", cache_name(spec), i + 1, prompts[i].name),
          again, expected->second);
    }
  }
}

TEST_CASE("5C.3 fixed cache: the same tokens as the concatenating cache, and no token more than its capacity",
          "[5C.3]") {
  for (const Prompt& prompt : all_prompts()) {
    const auto greedy = [&](CacheKind kind) {
      GenerationOptions options = greedy_options(kind);
      if (phases::options().quick)
        options.max_new_tokens = std::min<std::int64_t>(*options.max_new_tokens, 6);
      return text_of(native_greedy(prompt, options).tokens);
    };
    record_equal("greedy tokens", prompt.name, greedy(CacheKind::concat), greedy(CacheKind::fixed));
  }
  const std::vector<TokenId> ids = line().ids;
  const auto length = static_cast<std::int64_t>(ids.size());
  const auto cache = subject().make_cache({CacheKind::fixed, 1, length, subject().info().storage});
  record_steps(subject(), *cache, ids, std::span(&length, 1), ProbeFilter({"lm_head"}));
  const Tensor before = cache->read_key(0, 0);
  std::string outcome = "went on";
  try {
    const std::int64_t one = 1;
    record_steps(subject(), *cache, std::span(ids).first(1), std::span(&one, 1), ProbeFilter({"lm_head"}));
  } catch (const Error&) {
    outcome = "refused";
  }
  record_equal("one token beyond the capacity", "fixed cache", "refused", outcome);
  record_equal("length after the refusal", "fixed cache", std::to_string(length),
               std::to_string(cache->length(0)));
  record(
      check_same_bits("keys after the refusal", "fixed cache", cache->read_key(0, 0).view(), before.view()));
}

}  // namespace plumbline::phases
