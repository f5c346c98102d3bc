#include "phases/support/cache_contents.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/error.h"
#include "harness/half.h"
#include "harness/trace.h"
#include "phases/support/cache_specs.h"

namespace plumbline::phases {
namespace {

constexpr std::int64_t kStep = 13, kStride = 7919;  // a prime: ids repeat after the whole vocabulary

TokenId token_of(int sequence, std::int64_t index, std::int64_t tokens, std::int64_t vocab) {
  return static_cast<TokenId>(((sequence * tokens + index) * kStride + kStep) % vocab);
}

Tensor by_head(const Tensor& rows, const ModelConfig& config) {
  const Shape shape{rows.shape()[0], config.num_key_value_heads, config.head_dim};
  return copy_host(TensorView(rows.bytes().data(), rows.dtype(), shape));
}

Tensor rounded(const Tensor& rows, DType dtype) {
  if (dtype == rows.dtype()) return rows;
  std::vector<float> wide(static_cast<std::size_t>(rows.elements()));
  for (std::size_t i = 0; i < wide.size(); ++i)
    wide[i] = static_cast<float>(element_as_f64(rows.view(), static_cast<std::int64_t>(i)));
  if (dtype == DType::f32) return Tensor::from<float>(dtype, rows.shape(), wide);
  Tensor out(dtype, rows.shape());
  std::ranges::transform(wide, out.values<std::uint16_t>().begin(),
                         dtype == DType::bf16 ? f32_to_bf16 : f32_to_f16);
  return out;
}

// The calls that feed `tokens` of every sequence after `past`: lengths of each, none empty.
std::vector<std::int64_t> lengths_of(std::int64_t tokens, std::int64_t past, Feed feed) {
  std::vector<std::int64_t> lengths;
  if (past > 0) lengths.push_back(past);
  std::int64_t left = tokens - past;
  const std::int64_t most = feed == Feed::sequential ? 1 : std::max<std::int64_t>(left / 3, 1);
  for (; left > 0; left -= lengths.back()) lengths.push_back(std::min(most, left));
  return lengths;
}

// The tokens that a cache holds of `tokens` fed: all, but for a ring, which forgets the oldest that is not in
// the prefill's buffer.
std::vector<std::int64_t> kept_tokens(const CacheSpec& spec, std::int64_t past, std::int64_t tokens) {
  std::vector<std::int64_t> kept(static_cast<std::size_t>(tokens));
  std::iota(kept.begin(), kept.end(), 0);
  if (spec.when_full != WhenFull::ring) return kept;
  const std::int64_t first = past <= spec.prefill_capacity ? std::min(past, tokens) : 0;
  const std::int64_t gone = tokens - first - (spec.capacity - spec.prefill_capacity);
  if (gone > 0) kept.erase(kept.begin() + first, kept.begin() + first + gone);
  return kept;
}

// Rows as several steps recorded them, one after the other.
Tensor joined(const std::vector<const Tensor*>& parts) {
  std::int64_t count = 0;
  for (const Tensor* part : parts) count += part->shape()[0];
  Shape shape = parts.front()->shape();
  shape.set(0, count);
  Tensor all(parts.front()->dtype(), shape);
  auto to = all.values<std::byte>().begin();
  for (const Tensor* part : parts) to = std::ranges::copy(part->bytes(), to).out;
  return all;
}

std::map<SlotOwner, Tensor> rows_of(const Trace& trace, const ModelConfig& config) {
  std::map<SlotOwner, Tensor> rows;
  for (SequenceId sequence = 0; sequence < CacheContents::kSequences; ++sequence) {
    for (int layer = 0; layer < static_cast<int>(config.num_hidden_layers); ++layer) {
      for (const SlotRole role : {SlotRole::key, SlotRole::value}) {
        const OpSite site{role == SlotRole::key ? Probe::k_rope : Probe::v_proj, layer};
        std::vector<const Tensor*> parts;
        for (const TraceStep& step : trace.steps) {
          if (step.sequence == sequence) parts.push_back(&step.tensors.at(site));
        }
        rows.emplace(SlotOwner{role, sequence, layer}, by_head(joined(parts), config));
      }
    }
  }
  return rows;
}

SlotTags tags_of(const std::map<SlotOwner, Tensor>& rows, DType dtype) {
  SlotTags tags;
  for (const auto& [owner, tensor] : rows) tags.add(owner, rounded(tensor, dtype).view());
  return tags;
}

}  // namespace

std::string feed_name(Feed feed) {
  switch (feed) {
    case Feed::sequential:
      return "token by token";
    case Feed::chunked:
      return "in chunks";
    case Feed::batched:
      return "in a batch";
  }
  throw InternalError("feed_name: no such feed");
}

std::vector<Check> merge_passed(std::vector<Check> checks) {
  std::vector<Check> merged;
  for (Check& check : checks) {
    const auto same = std::ranges::find_if(merged, [&](const Check& other) {
      return other.verdict == Verdict::passed && check.verdict == Verdict::passed &&
             other.what == check.what && other.subject == check.subject;
    });
    if (same == merged.end()) {
      merged.push_back(std::move(check));
    } else {
      same->count += check.count;
    }
  }
  return merged;
}

CacheContents::CacheContents(Engine& engine, std::int64_t tokens) : engine_(engine), tokens_(tokens) {
  const std::unique_ptr<Cache> cache =
      engine.make_cache({CacheKind::concat, kSequences, 0, engine.info().storage});
  TraceRecorder recorder(engine, ProbeFilter({"*k_rope", "*v_proj"}));
  std::vector<std::int64_t> positions(static_cast<std::size_t>(tokens));
  std::iota(positions.begin(), positions.end(), 0);
  for (SequenceId id = 0; id < kSequences; ++id) {
    const std::vector<TokenId> ids = sequence(id);
    const SequenceStep step{id, ids, positions, LogitsWanted::none};
    recorder.begin({&step, 1});
    engine.forward({&step, 1}, *cache, recorder);
  }
  rows_ = rows_of(recorder.take(), engine.config());
  tags_ = tags_of(rows_, engine.info().storage);
}

std::vector<TokenId> CacheContents::sequence(int index) const {
  std::vector<TokenId> ids;
  for (std::int64_t i = 0; i < tokens_; ++i)
    ids.push_back(token_of(index, i, tokens_, engine_.config().vocab_size));
  return ids;
}

std::vector<Check> CacheContents::look(const Cache& cache, const SlotTags& tags,
                                       std::span<const std::int64_t> kept, Feed feed,
                                       const std::string& subject) const {
  std::vector<Check> checks;
  const auto length = static_cast<std::int64_t>(kept.size());
  const int layers = static_cast<int>(engine_.config().num_hidden_layers);
  for (SequenceId id = 0; id < kSequences; ++id) {
    checks.push_back(check_at_most("tokens held", subject, "tokens missing or too many",
                                   static_cast<double>(std::abs(cache.length(id) - length)), 0));
    for (int layer = 0; length > 0 && layer < layers; ++layer) {
      for (const SlotRole role : {SlotRole::key, SlotRole::value}) {
        const bool key = role == SlotRole::key;
        const Tensor held = key ? cache.read_key(layer, id) : cache.read_value(layer, id);
        checks.push_back(tags.check(subject, {role, id, layer}, held.view(), kept));
        Check& check = checks.back();
        if (check.verdict == Verdict::passed) {
          check.what = key ? "cached keys by slot" : "cached values by slot";
        } else {
          check.note = fmt::format("{}, {}, sequence {}, {} tokens held: {}", cache_name(cache.spec()),
                                   feed_name(feed), id, length, check.note);
        }
      }
    }
  }
  return checks;
}

std::vector<Check> CacheContents::check(Cache& cache, std::int64_t past, Feed feed,
                                        const std::string& subject) const {
  const CacheSpec& spec = cache.spec();
  // What such a cache gives back is no longer the uncached run's.
  const bool by_own_run = spec.dtype != engine_.info().storage || spec.when_full == WhenFull::ring;
  TraceRecorder recorder(engine_, by_own_run ? ProbeFilter({"*k_rope", "*v_proj"}) : ProbeFilter({"none"}));
  std::vector<std::int64_t> positions(static_cast<std::size_t>(tokens_));
  std::iota(positions.begin(), positions.end(), 0);
  std::vector<std::vector<TokenId>> ids;
  for (int id = 0; id < kSequences; ++id) ids.push_back(sequence(id));
  const auto call = [&](std::span<const SequenceStep> steps) {
    recorder.begin(steps);
    engine_.forward(steps, cache, recorder);
  };

  std::vector<Check> checks = look(cache, tags_, {}, feed, subject);
  const auto add = [&](const SlotTags& tags, std::int64_t fed) {
    std::ranges::move(look(cache, tags, kept_tokens(spec, past, fed), feed, subject),
                      std::back_inserter(checks));
  };
  std::int64_t at = 0;
  for (const std::int64_t count : lengths_of(tokens_, past, feed)) {
    const auto begin = static_cast<std::size_t>(at), size = static_cast<std::size_t>(count);
    std::vector<SequenceStep> steps;
    for (SequenceId id = 0; id < kSequences; ++id) {
      steps.push_back({id, std::span(ids[static_cast<std::size_t>(id)]).subspan(begin, size),
                       std::span(positions).subspan(begin, size), LogitsWanted::none});
    }
    if (feed == Feed::batched) {
      call(steps);
    } else {
      for (const SequenceStep& step : steps) call({&step, 1});
    }
    at += count;
    if (!by_own_run) add(tags_, at);
  }
  if (by_own_run) add(tags_of(rows_of(recorder.take(), engine_.config()), spec.dtype), at);
  return merge_passed(std::move(checks));
}

}  // namespace plumbline::phases
