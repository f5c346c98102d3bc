// Phase 5: what lies in the caches, slot by slot, against the uncached run.
#include <algorithm>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "harness/metrics.h"
#include "phases/support/cache_contents.h"
#include "phases/support/cache_report.h"
#include "phases/support/cache_specs.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/engine.h"

namespace plumbline::phases {
namespace {

std::string heads_of(const ModelConfig& config) {
  return fmt::format("{} of {}", config.num_attention_heads, config.num_key_value_heads);
}

// Largest difference of one role's rows, over all layers and sequences, from truth's uncached run.
double largest_error(const CacheContents& contents, const CacheContents& truth, const ModelConfig& config,
                     SlotRole role) {
  double largest = 0;
  for (SequenceId id = 0; id < CacheContents::kSequences; ++id) {
    for (int layer = 0; layer < static_cast<int>(config.num_hidden_layers); ++layer) {
      const SlotOwner owner{role, id, layer};
      largest =
          std::max(largest, measure_error(contents.rows(owner).view(), truth.rows(owner).view()).max_abs);
    }
  }
  return largest;
}

std::vector<std::string> accumulated_row(const HeadedModel& each, Engine& engine,
                                         const CacheContents& contents) {
  std::unique_ptr<Engine> f32, f64;
  if (!each.model.empty()) {
    f32 = reference::make_engine(each.model, {DType::f32, 1});
    f64 = reference::make_engine(each.model, {DType::f64, 1});
  }
  const CacheContents truth(f64 ? *f64 : phases::truth(), contents.tokens());
  const CacheContents theirs(f32 ? *f32 : phases::reference(), contents.tokens());
  std::vector<std::string> row{each.name, heads_of(engine.config()), std::to_string(contents.tokens())};
  for (const SlotRole role : {SlotRole::key, SlotRole::value}) {
    for (const CacheContents* side : {&contents, &theirs})
      row.push_back(fmt::format("{:.2e}", largest_error(*side, truth, engine.config(), role)));
  }
  return row;
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

TEST_CASE("5A.1 cache update: from empty caches on, every slot holds its own token's row", "[5A.1]") {
  const std::vector<std::int64_t> pasts =
      options().quick ? std::vector<std::int64_t>{0, 5} : std::vector<std::int64_t>{0, 1, 5, 10, 37};
  Refusals refusals;
  Evidence accumulated{
      "accumulated error of what the caches hold, against truth's full recompute",
      {"model", "heads, of keys", "tokens", "keys", "keys, LibTorch f32", "values", "values, LibTorch f32"},
      {}};
  for (const HeadedModel& each : with_all_kinds_of_heads()) {
    const std::unique_ptr<Engine> opened = each.model.empty() ? nullptr : open_subject(each.model);
    Engine& engine = opened ? *opened : subject();
    for (const std::int64_t past : pasts) {
      const CacheContents contents(engine, past + 4);
      for (const CacheKind kind : kKinds) {
        CacheSpec spec;
        spec.kind = kind;
        spec.max_sequences = CacheContents::kSequences;
        spec.capacity = kind == CacheKind::fixed ? past + 6 : 0;
        const std::unique_ptr<Cache> cache = refusals.make(engine, spec);
        if (cache == nullptr) continue;
        record_equal("an empty cache reads back as", fmt::format("{}, {}", each.name, kind_name(kind)),
                     Shape{0, engine.config().num_key_value_heads, engine.config().head_dim}.to_string(),
                     cache->read_key(0, 1).shape().to_string());
        record_all(contents.check(*cache, past, Feed::sequential,
                                  fmt::format("{}, {}, past {}", each.name, kind_name(kind), past)));
      }
      if (past == pasts.back()) accumulated.rows.push_back(accumulated_row(each, engine, contents));
    }
  }
  record_refusals(refusals);
  add_evidence(std::move(accumulated));
}

}  // namespace plumbline::phases
