// Phase 5: layouts, packings and dtypes of caches: contents, costs and bytes.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "bench/cache_ratios.h"
#include "harness/checks.h"
#include "phases/support/cache_contents.h"
#include "phases/support/cache_report.h"
#include "phases/support/cache_specs.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

// Layouts have a row each; packings, dtypes and feeds are counted in it.
std::string subject_name(const HeadedModel& each, const CacheSpec& spec) {
  return fmt::format("{}, {}, {}", each.name, spec.kind == CacheKind::fixed ? "fixed" : "growing",
                     layout_name(spec.layout));
}

}  // namespace

TEST_CASE("5A.2 memory layout: every layout, packing and dtype holds the same rows, however they come in",
          "[5A.2]") {
  Refusals refusals;
  for (const HeadedModel& each : with_all_kinds_of_heads()) {
    const std::unique_ptr<Engine> opened = each.model.empty() ? nullptr : open_subject(each.model);
    Engine& engine = opened ? *opened : subject();
    const CacheContents contents(engine, 13);
    std::vector<Check> checks;
    const int sequences = CacheContents::kSequences;
    for (CacheSpec spec :
         options().quick ? few_cache_specs(sequences, 16, 6) : cache_specs(sequences, 16, 6)) {
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        spec.dtype = dtype;
        for (const Feed feed : {Feed::sequential, Feed::chunked, Feed::batched}) {
          const std::unique_ptr<Cache> cache = refusals.make(engine, spec);
          if (cache == nullptr) break;
          std::ranges::move(contents.check(*cache, 3, feed, subject_name(each, spec)),
                            std::back_inserter(checks));
        }
      }
    }
    record_all(merge_passed(std::move(checks)));
  }
  record_refusals(refusals);
}

TEST_CASE("5A.2 memory layout: a ring forgets the oldest token that is not of the prefill", "[5A.2]") {
  Refusals refusals;
  for (const HeadedModel& each : with_all_kinds_of_heads()) {
    const std::unique_ptr<Engine> opened = each.model.empty() ? nullptr : open_subject(each.model);
    Engine& engine = opened ? *opened : subject();
    const CacheContents contents(engine, 17);
    std::vector<Check> checks;
    // 17 tokens over 9 slots: of the prefill's 5, all or those that are among the last.
    for (const std::int64_t prefill : {5, 0}) {
      const int sequences = CacheContents::kSequences;
      for (CacheSpec spec : options().quick ? few_cache_specs(sequences, 9 - prefill, prefill)
                                            : cache_specs(sequences, 9 - prefill, prefill)) {
        if (spec.kind != CacheKind::fixed || spec.prefill_capacity != prefill) continue;
        spec.when_full = WhenFull::ring;
        const std::unique_ptr<Cache> cache = refusals.make(engine, spec);
        if (cache == nullptr) continue;
        std::ranges::move(contents.check(*cache, 5, Feed::sequential, subject_name(each, spec)),
                          std::back_inserter(checks));
      }
    }
    record_all(merge_passed(std::move(checks)));
  }
  record_refusals(refusals);
}

TEST_CASE("5A.2 memory layout: what each layout costs beside a plain copy", "[5A.2]") {
  const bool quick = options().quick;
  const native::CacheShape shape{2, 2, 64};
  const std::int64_t tokens = quick ? 128 : 1024;
  const auto text = [](const bench::Quartile& q) {
    return fmt::format("{:.2f} ({:.2f} to {:.2f})", q.median, q.low, q.high);
  };
  Evidence costs{fmt::format("time over a memcpy of the same bytes, {} tokens, {} heads of {}; shown and not "
                             "judged",
                             tokens, shape.kv_heads, shape.head_dim),
                 {"cache", "written at once", "read token by token", "read head by head",
                  "one token's update, ns", "bytes", "needed"},
                 {}};
  for (const bench::LayoutCost& cost : bench::measure_layouts(shape, tokens, quick ? 3 : 15)) {
    costs.rows.push_back({cache_name(cost.spec), text(cost.write_all), text(cost.read_by_token),
                          text(cost.read_by_head), fmt::format("{:.0f}", cost.update_nanoseconds),
                          std::to_string(cost.bytes), std::to_string(cost.needed)});
    // The fixed caches' spare room is a few slots; the growing one's an eighth, at least as many.
    const double few = 16.0 / static_cast<double>(tokens);
    record(check_at_most("bytes allocated over bytes needed", cache_name(cost.spec), "ratio - 1",
                         static_cast<double>(cost.bytes) / static_cast<double>(cost.needed) - 1,
                         cost.spec.kind == CacheKind::fixed ? few : std::max(few, 0.125)));
  }
  add_evidence(std::move(costs));
  const bench::GrowthCost growth = bench::measure_growth(shape, tokens, 2 * tokens, quick ? 3 : 15);
  // Copies are judged and not times, which a busy machine spoils; build/cache_bench --check judges these.
  record(check_at_most("growing cache: tokens copied per token appended, when the length doubles",
                       "all layers", "ratio", bench::copies_at_twice_the_length(shape, tokens), 1.5));
  add_evidence(
      {"time of one token's update when the length doubles; 1: independent of it, 2: linear; shown "
       "and not judged",
       {"cache", "ratio"},
       {{"fixed", text(growth.fixed)}, {"growing", text(growth.growing)}}});
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
  // Keys and values, all layers.
  const std::int64_t per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim *
                                 static_cast<std::int64_t>(dtype_size(subject().info().storage));
  const auto bytes = [](const Cache& cache) { return std::to_string(cache.bytes()); };
  record_equal("bytes", "fixed cache, whole capacity", std::to_string(per_token * capacity),
               bytes(*caches[1]));
  add_evidence({"bytes",
                {"cache", "bytes", "needed for what it holds"},
                {{"concatenating", bytes(*caches[0]), std::to_string(per_token * length)},
                 {"fixed", bytes(*caches[1]), std::to_string(per_token * length)}}});
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

}  // namespace plumbline::phases
