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
#include "reference/replay.h"

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
  std::unique_ptr<Engine> like, f64;
  if (!each.model.empty()) {
    like = reference::make_engine(each.model, {options().dtype, 1});
    f64 = reference::make_referee(each.model, options().dtype).truth;
  }
  const CacheContents truth(f64 ? *f64 : phases::truth(), contents.tokens());
  const CacheContents theirs(like ? *like : phases::reference(), contents.tokens());
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

TEST_CASE("5A.1 cache update: half types round what they keep, rings forget their oldest, judged op by op",
          "[5A.1]") {
  const std::vector<TokenId> tokens = whole_text(line());
  const auto length =
      std::min<std::int64_t>(static_cast<std::int64_t>(tokens.size()), options().quick ? 10 : 20);
  const std::vector<TokenId> part(tokens.begin(), tokens.begin() + length);
  // Some tokens, one by one, several over what a ring then holds, and one by one again.
  std::vector<std::int64_t> split;
  for (std::int64_t left = length; left > 0; left -= split.back()) {
    const std::int64_t wanted = split.empty() ? 4 : split.size() == 4 ? 3 : 1;
    split.push_back(std::min(wanted, left));
  }
  std::vector<CacheSpec> specs;
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const CacheKind kind : kKinds) specs.push_back({kind, 1, length, dtype});
  }
  // After the prompt, which stays or does not, for fewer tokens than come.
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t prefill : {0, 4}) {
      CacheSpec spec{CacheKind::fixed, 1, prefill + 4, dtype};
      spec.prefill_capacity = prefill;
      spec.when_full = WhenFull::ring;
      specs.push_back(spec);
    }
  }
  // A growing bf16 cache, a ring in f32, one after a prompt in f16.
  if (options().quick) specs = {specs.front(), specs[4], specs.back()};
  Refusals refusals;
  for (const CacheSpec& spec : specs) {
    const std::unique_ptr<Cache> cache = refusals.make(subject(), spec);
    if (cache == nullptr) continue;
    record_judgement(judge_steps(part, split, *cache).judgement, cache_name(spec));
  }
  record_refusals(refusals);
}

TEST_CASE("5A.1 cache update: the cache holds the uncached run's rotated keys and values, bit for bit",
          "[5A.1]") {
  const Prompt prompt = options().quick ? line() : passage();
  const auto length = static_cast<std::int64_t>(prompt.ids.size());
  const Trace uncached = record_prefill(subject(), prompt.ids, ProbeFilter({"*k_rope", "*v_proj"}));
  for (const CacheKind kind : kKinds) {
    const auto cache = subject().make_cache({kind, 1, length, subject().info().storage});
    const Trace cached = record_steps(subject(), *cache, prompt.ids, prefill_and_steps(length, 3),
                                      ProbeFilter({"past_key_values.*"}));
    for (int layer = 0; layer < static_cast<int>(subject().config().num_hidden_layers); ++layer) {
      const Tensor& keys = last_recorded(cached, {Probe::past_key, layer});
      const Tensor& values = last_recorded(cached, {Probe::past_value, layer});
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
      {"model", "heads, of keys", "tokens", "keys", "keys, LibTorch", "values", "values, LibTorch"},
      {}};
  for (const HeadedModel& each : with_all_kinds_of_heads()) {
    const std::unique_ptr<Engine> opened = each.model.empty() ? nullptr : open_subject(each.model);
    Engine& engine = opened ? *opened : subject();
    for (const std::int64_t past : pasts) {
      const CacheContents contents(engine, past + 4);
      for (const CacheKind kind : kKinds) {
        CacheSpec spec;
        spec.kind = kind;
        spec.dtype = options().dtype;
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
