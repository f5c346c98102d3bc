// Phase 5: the loop. Caches, masks and positions against the reference's full recompute, and greedy text
// against the golden text; every decode step judged op by op like a prefill.
#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "harness/explain.h"
#include "impl/generator.h"
#include "impl/mask.h"
#include "impl/positions.h"
#include "impl/sampler.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/generator.h"
#include "reference/mask.h"
#include "reference/sampler.h"

namespace plumbline::phases {

void prepare() {
  load_sides(LoadTokenizers::when_asked_for);
}

namespace {

constexpr CacheKind kKinds[] = {CacheKind::concat, CacheKind::fixed};

std::string kind_name(CacheKind kind) {
  return kind == CacheKind::concat ? "concatenating cache" : "fixed cache";
}

std::string text_of(std::span<const TokenId> ids) {
  return fmt::format("{}", fmt::join(ids, " "));
}

// A prompt and what greedy text follows it: golden where there is any, else the reference's choice.
std::vector<TokenId> whole_text(const Prompt& prompt) {
  std::vector<TokenId> tokens = prompt.ids;
  if (prompt.golden != nullptr)
    tokens.insert(tokens.end(), prompt.golden->greedy.begin(), prompt.golden->greedy.end());
  return tokens;
}

// Splits of n tokens into forward calls: prefill and single steps, uneven chunks.
std::vector<std::int64_t> prefill_and_steps(std::int64_t tokens, std::int64_t prefill) {
  std::vector<std::int64_t> split{prefill};
  split.resize(static_cast<std::size_t>(1 + tokens - prefill), 1);
  return split;
}
std::vector<std::int64_t> chunks(std::int64_t tokens, std::int64_t size) {
  std::vector<std::int64_t> split(static_cast<std::size_t>(tokens / size), size);
  if (tokens % size != 0) split.push_back(tokens % size);
  return split;
}

// Prompts of few and of many tokens.
Prompt word() {
  return prompt_like("hello", 1);
}
Prompt words() {
  return prompt_like("quick_brown", 3);
}
Prompt line() {
  return prompt_like("count", 9);
}
Prompt passage() {
  return prompt_like("prose", 37);
}

std::optional<std::int64_t> window_of(int layer) {
  const ModelConfig& config = subject().config();
  const bool slides = config.layer_types.at(static_cast<std::size_t>(layer)) == LayerType::sliding_attention;
  return slides ? config.sliding_window : std::nullopt;
}

// The last step's tensor of a site.
const Tensor& last_recorded(const Trace& trace, OpSite site) {
  return trace.steps.back().tensors.at(site);
}

GenerationOptions greedy_options(CacheKind kind) {
  GenerationOptions options;
  options.cache = kind;
  if (goldens()) {
    options.eos_token_ids = goldens()->eos_token_ids;
  } else {
    options.max_new_tokens = 8;
  }
  return options;
}

GenerationResult native_greedy(const Prompt& prompt, const GenerationOptions& options) {
  NullSink nothing;
  return native::generate(subject(), *native::make_sampler(), prompt.ids, options, nothing);
}

}  // namespace

TEST_CASE("5A.1 cache update: every step appends its keys and values, judged op by op", "[5A.1]") {
  const std::vector<TokenId> tokens = whole_text(line());
  const std::int64_t most = options().quick ? 12 : 24;
  const auto length = std::min(static_cast<std::int64_t>(tokens.size()), most);
  const std::vector<TokenId> part(tokens.begin(), tokens.begin() + length);
  const std::vector<std::int64_t> prefills =
      options().quick ? std::vector<std::int64_t>{5} : std::vector<std::int64_t>{1, 5, 10};
  for (const CacheKind kind : kKinds) {
    for (const std::int64_t prefill : prefills) {
      const JudgedSteps steps = judge_steps(part, prefill_and_steps(length, std::min(prefill, length)), kind);
      record_judgement(steps.judgement, fmt::format("{}, prefill {}", kind_name(kind), prefill));
    }
  }
}

TEST_CASE("5A.1 cache update: the cache holds the uncached run's rotated keys and values, bit for bit",
          "[5A.1]") {
  const Prompt prompt = options().quick ? line() : passage();
  const auto length = static_cast<std::int64_t>(prompt.ids.size());
  const Trace& uncached = judged(prompt).subject;
  for (const CacheKind kind : kKinds) {
    const JudgedSteps steps = judge_steps(prompt.ids, prefill_and_steps(length, 3), kind);
    for (int layer = 0; layer < static_cast<int>(subject().config().num_hidden_layers); ++layer) {
      const Tensor& keys = last_recorded(steps.subject, {Probe::past_key, layer});
      const Tensor& values = last_recorded(steps.subject, {Probe::past_value, layer});
      const TensorView v_proj = uncached.steps.at(0).tensors.at({Probe::v_proj, layer}).view();
      record(check_same_bits(fmt::format("cached keys, layer {}", layer), kind_name(kind), keys.view(),
                             uncached.steps.at(0).tensors.at({Probe::k_rope, layer}).view()));
      record(check_same_bits(fmt::format("cached values, layer {}", layer), kind_name(kind), values.view(),
                             TensorView(v_proj.data, v_proj.dtype, values.shape())));
    }
  }
}

TEST_CASE("5A.2 memory layout: the fixed cache reads back as the concatenating one, at its declared size",
          "[5A.2]") {
  const Prompt prompt = passage();
  const auto length = static_cast<std::int64_t>(prompt.ids.size());
  const std::int64_t capacity = length + 27;
  const ModelConfig& config = subject().config();
  std::vector<std::unique_ptr<Cache>> caches;
  for (const CacheKind kind : kKinds) {
    caches.push_back(subject().make_cache({kind, 1, capacity, subject().info().storage}));
    record_steps(subject(), *caches.back(), prompt.ids, chunks(length, 7), ProbeFilter({"lm_head"}));
    record_equal("length", kind_name(kind), std::to_string(length), std::to_string(caches.back()->length(0)));
  }
  for (int layer = 0; layer < static_cast<int>(config.num_hidden_layers); ++layer) {
    record(check_same_bits(fmt::format("keys, layer {}", layer), "fixed and concatenating",
                           caches[1]->read_key(layer, 0).view(), caches[0]->read_key(layer, 0).view()));
    record(check_same_bits(fmt::format("values, layer {}", layer), "fixed and concatenating",
                           caches[1]->read_value(layer, 0).view(), caches[0]->read_value(layer, 0).view()));
  }
  // Keys and values, all layers, f32.
  const std::int64_t per_token =
      2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4;
  const auto bytes = [](const Cache& cache) { return std::to_string(cache.bytes()); };
  record_equal("bytes", "fixed cache, whole capacity", std::to_string(per_token * capacity),
               bytes(*caches[1]));
  add_evidence({"bytes",
                {"cache", "bytes", "needed for what it holds"},
                {{"concatenating", bytes(*caches[0]), std::to_string(per_token * length)},
                 {"fixed", bytes(*caches[1]), std::to_string(per_token * length)}}});
  record_skip("other layouts", "the native engine has one layout yet");
}

TEST_CASE("5A.2 memory layout: clear, crop and fork leave what they should", "[5A.2]") {
  const Prompt prompt = passage();
  const std::vector<TokenId> shorter = line().ids;
  for (const CacheKind kind : kKinds) {
    const auto length = static_cast<std::int64_t>(prompt.ids.size());
    const auto cache =
        subject().make_cache({kind, 2, std::max<std::int64_t>(128, length), subject().info().storage});
    const ProbeFilter logits({"lm_head"});
    const auto last_logits = [](const Trace& trace) {
      return copy_host(trace.steps.back().tensors.at({Probe::lm_head, -1}).view().last_rows(1));
    };
    const auto short_length = static_cast<std::int64_t>(shorter.size());
    const Tensor fresh = last_logits(record_prefill(subject(), shorter, logits));
    const Tensor whole = last_logits(record_prefill(subject(), prompt.ids, logits));

    record_steps(subject(), *cache, prompt.ids, std::span(&length, 1), logits);
    cache->fork(0, 1);
    const Tensor forked = cache->read_key(0, 1);
    cache->clear(0);
    const Trace after_clear = record_steps(subject(), *cache, shorter, std::span(&short_length, 1), logits);
    record(check_same_bits("logits after clear", kind_name(kind), last_logits(after_clear).view(),
                           fresh.view()));
    record(check_same_bits("a fork keeps its keys when its origin is cleared", kind_name(kind),
                           cache->read_key(0, 1).view(), forked.view()));

    cache->clear(0);
    record_steps(subject(), *cache, prompt.ids, std::span(&length, 1), logits);
    cache->crop(0, 5);
    const std::vector<TokenId> rest(prompt.ids.begin() + 5, prompt.ids.end());
    const std::int64_t rest_length = length - 5;
    const Trace extended = record_steps(subject(), *cache, rest, std::span(&rest_length, 1), logits);
    record(check_same_bits("logits after crop and extension", kind_name(kind), last_logits(extended).view(),
                           whole.view()));
  }
}

TEST_CASE("5B.1 causal mask: what is allowed, for every shape of step", "[5B.1]") {
  for (const std::int64_t queries : {1, 2, 7, 64}) {
    for (const std::int64_t past : {0, 1, 5, 10, 100}) {
      for (const std::optional<std::int64_t> window :
           {std::optional<std::int64_t>{}, std::optional<std::int64_t>{4}}) {
        const std::string name =
            fmt::format("{} queries, {} past, window {}", queries, past, window ? "4" : "none");
        record(check_same_bits("allowed keys", name, native::allowed_mask(queries, past, window).view(),
                               reference::allowed_mask(queries, past, window).view()));
      }
    }
  }
}

TEST_CASE("5B.1 causal mask: no weight where it forbids, rows that sum to one", "[5B.1]") {
  const Prompt prompt = passage();
  const auto length = static_cast<std::int64_t>(prompt.ids.size());
  for (const CacheKind kind : kKinds) {
    const JudgedSteps steps = judge_steps(prompt.ids, chunks(length, 8), kind);
    record_judgement(steps.judgement, "chunks of 8, " + kind_name(kind));
    std::int64_t past = 0;
    for (const TraceStep& step : steps.subject.steps) {
      const auto queries = static_cast<std::int64_t>(step.given->tokens.size());
      for (const auto& [site, tensor] : step.tensors) {
        if (site.probe != Probe::probs) continue;
        const Tensor allowed = reference::allowed_mask(queries, past, window_of(site.layer));
        const std::string name = fmt::format("{}, step {}, layer {}", kind_name(kind), step.step, site.layer);
        record(check_forbidden_weight("probs", name, tensor.view(), allowed.view(),
                                      tolerances().gate("forbidden_weight")));
        record(check_sums_to_one("probs", name, tensor.view(), tolerances().gate("probability_sum")));
      }
      past += queries;
    }
  }
}

TEST_CASE("5B.2 position ids: created, counted on, and exact as floats", "[5B.2]") {
  for (const std::int64_t past : {0, 1, 9, 1000, 32000}) {
    for (const std::int64_t tokens : {1, 5, 64}) {
      const std::string name = fmt::format("{} past, {} new", past, tokens);
      const Tensor native_positions =
          Tensor::from<std::int64_t>(DType::i64, Shape{tokens}, native::position_ids(past, tokens));
      const Tensor reference_positions = reference::position_ids(past, tokens);
      record(check_same_bits("position ids", name, native_positions.view(), reference_positions.view()));
      record(check_close("as floats", name, to_f64(native_positions.view()).view(),
                         to_f64(reference_positions.view()).view(), tolerances().gate("position")));
    }
  }
}

TEST_CASE("5C.1 the loop, stopping: greedy text over the cache is the golden text and the reference's",
          "[5C.1]") {
  const std::size_t most = options().quick ? 2 : 40;
  for (const Prompt& prompt : all_prompts()) {
    GenerationOptions options = greedy_options(CacheKind::concat);
    if (prompt.golden != nullptr) options.max_new_tokens = prompt.golden->max_new_tokens;
    const GenerationResult native_result = native_greedy(prompt, options);
    if (prompt.golden != nullptr) {
      record_equal("tokens, native and golden", prompt.name, text_of(prompt.golden->greedy),
                   text_of(native_result.tokens));
      record_equal("reason for stopping", prompt.name, stop_reason_name(prompt.golden->stop),
                   stop_reason_name(native_result.stop));
    }
    record_equal("cache length is one behind the tokens", prompt.name,
                 std::to_string(prompt.ids.size() + native_result.tokens.size() - 1),
                 std::to_string(native_result.cache_length));
    if (prompt.ids.size() > most) continue;  // the reference recomputes everything at each step
    const GenerationResult reference_result =
        reference::generate(reference(), *reference::make_sampler(), prompt.ids, options);
    record_equal("tokens, native and reference", prompt.name, text_of(reference_result.tokens),
                 text_of(native_result.tokens));
  }
}

TEST_CASE("5C.1 the loop, stopping: sampled text is the same on both sides when the uniforms are", "[5C.1]") {
  GenerationOptions options = greedy_options(CacheKind::concat);
  options.max_new_tokens = phases::options().quick ? 4 : 24;
  options.sampling.temperature = 1.0;
  options.sampling.top_k = 20;
  options.sampling.top_p = 0.95;
  for (int i = 0; i < 24; ++i) options.uniforms.push_back((i * 37 % 100 + 0.5) / 100);
  for (const Prompt& prompt : {word(), words()}) {
    record_equal(
        "sampled tokens", prompt.name,
        text_of(reference::generate(reference(), *reference::make_sampler(), prompt.ids, options).tokens),
        text_of(native_greedy(prompt, options).tokens));
  }
}

TEST_CASE("5C.1 the loop, stopping: every end token stops, one inside the prompt does not", "[5C.1]") {
  const Prompt prompt = line();
  GenerationOptions options = greedy_options(CacheKind::concat);
  options.max_new_tokens = 8;
  const GenerationResult free_run = native_greedy(prompt, options);
  REQUIRE(free_run.tokens.size() == 8);
  // The third token that greedy chooses, declared an end token, first and last in the list.
  const std::int64_t third = free_run.tokens[2];
  const auto first_use = static_cast<std::size_t>(
      std::find(free_run.tokens.begin(), free_run.tokens.end(), static_cast<TokenId>(third)) -
      free_run.tokens.begin());
  for (const bool front : {true, false}) {
    GenerationOptions stopping = options;
    stopping.eos_token_ids =
        front ? std::vector<std::int64_t>{third, -1} : std::vector<std::int64_t>{-1, third};
    const GenerationResult result = native_greedy(prompt, stopping);
    const std::string name = front ? "first of two end tokens" : "second of two end tokens";
    record_equal("reason for stopping", name, "eos", stop_reason_name(result.stop));
    record_equal("tokens kept, the end token too", name, std::to_string(first_use + 1),
                 std::to_string(result.tokens.size()));
  }
  // A token of the prompt that greedy does not choose by itself: as an end token it must change nothing.
  const auto chosen = [&](TokenId id) {
    return std::find(free_run.tokens.begin(), free_run.tokens.end(), id) != free_run.tokens.end();
  };
  const auto unchosen = std::find_if_not(prompt.ids.begin(), prompt.ids.end(), chosen);
  if (unchosen == prompt.ids.end()) {
    return record_skip("an end token in the prompt", "greedy chooses every token of the prompt");
  }
  GenerationOptions in_prompt = options;
  in_prompt.eos_token_ids = {*unchosen};
  record_equal("an end token in the prompt", prompt.name, text_of(free_run.tokens),
               text_of(native_greedy(prompt, in_prompt).tokens));
}

TEST_CASE("5C.1 the loop, stopping: every decode step judged like a prefill", "[5C.1]") {
  for (const Prompt& prompt : {word(), line()}) {
    std::vector<TokenId> tokens = whole_text(prompt);
    if (options().quick && tokens.size() > 16) tokens.resize(16);
    const JudgedSteps steps = judge_steps(tokens,
                                          prefill_and_steps(static_cast<std::int64_t>(tokens.size()),
                                                            static_cast<std::int64_t>(prompt.ids.size())),
                                          CacheKind::concat);
    record_judgement(steps.judgement, prompt.name + " and its greedy text");
  }
}

TEST_CASE("5C.2 conversations: a second turn over the cache is a full recompute, bit for bit", "[5C.2]") {
  const std::vector<TokenId> first = passage().ids, second = line().ids;
  std::vector<TokenId> both = first;
  both.insert(both.end(), second.begin(), second.end());
  const std::vector<std::int64_t> turns{static_cast<std::int64_t>(first.size()),
                                        static_cast<std::int64_t>(second.size())};
  const Trace whole = record_prefill(subject(), both);
  for (const CacheKind kind : kKinds) {
    const JudgedSteps steps = judge_steps(both, turns, kind);
    record_judgement(steps.judgement, "two turns, " + kind_name(kind));
    record(check_same_bits("second turn's logits", kind_name(kind),
                           last_recorded(steps.subject, {Probe::lm_head, -1}).view(),
                           whole.steps[0].tensors.at({Probe::lm_head, -1}).view().last_rows(turns[1])));
  }
  record_skip("20 turns over a cached system prompt", "the generator keeps no conversation yet");
}

TEST_CASE("5C.3 fixed cache: the same tokens as the concatenating cache, and no token more than its capacity",
          "[5C.3]") {
  for (const Prompt& prompt : all_prompts()) {
    const auto greedy = [&](CacheKind kind) {
      GenerationOptions options = greedy_options(kind);
      if (phases::options().quick)
        options.max_new_tokens = std::min<std::int64_t>(options.max_new_tokens, 12);
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
