// Replays of scores, softmax and context, and of the three fused into one kernel.
#include <algorithm>
#include <limits>
#include <vector>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/replay_torch.h"
#include "reference/internal/rounding_torch.h"

namespace plumbline::reference {
namespace {

// Elements of a [heads, queries, keys] intermediate: there are a dozen, each read and written many times, and
// a few of them stay in the cache.
constexpr std::int64_t kBlockElements = 1 << 16;

// Queries at a time.
std::int64_t query_block(std::int64_t heads, std::int64_t keys) {
  return std::clamp<std::int64_t>(kBlockElements / std::max<std::int64_t>(heads * keys, 1), 16, 256);
}

struct Bounded {
  at::Tensor expected;
  at::Tensor bound;
  ops::Rounded rounded = {};  // undefined where no operation within rounds
};

// Runs op(first query, number of queries) over blocks of queries, and joins what it gives along `axis`.
template <typename Op>
Bounded by_queries(std::int64_t queries, std::int64_t block_size, std::int64_t axis, Op op) {
  std::vector<at::Tensor> expected, bound, emulated, roundings;
  for (std::int64_t first = 0; first < queries; first += block_size) {
    const Bounded block = op(first, std::min(block_size, queries - first));
    expected.push_back(block.expected);
    bound.push_back(block.bound);
    if (block.rounded.emulated.defined()) emulated.push_back(block.rounded.emulated);
    if (block.rounded.roundings.defined()) roundings.push_back(block.rounded.roundings);
  }
  const auto joined = [&](const std::vector<at::Tensor>& blocks) {
    return blocks.empty() ? at::Tensor() : at::cat(blocks, axis);
  };
  return {joined(expected), joined(bound), {joined(emulated), joined(roundings)}};
}

Replay make_replay(const Bounded& result) {
  Replay replay;
  replay.expected = to_harness(result.expected);
  replay.bound = to_harness(result.bound);
  if (result.rounded.emulated.defined()) replay.emulated = to_harness(result.rounded.emulated);
  if (result.rounded.roundings.defined()) replay.roundings = to_harness(result.rounded.roundings);
  return replay;
}

// [rows, heads, head_dim] -> [heads, rows, head_dim]
at::Tensor queries_of(const Recorded& in, OpSite site, std::int64_t rows) {
  return in.probe({Probe::q_rope, site.layer}, rows).transpose(0, 1).contiguous();
}

// Keys or values as the query heads see them: [heads, keys, head_dim].
at::Tensor cache_of(const ReplayModel& model, const Recorded& in, Probe probe, OpSite site) {
  return ops::expand_groups(in.cache({probe, site.layer}), model.sizes.heads_per_kv_head).contiguous();
}

// Boolean [queries, keys] for every head.
Tensor for_each_head(const at::Tensor& allowed, std::int64_t heads) {
  return to_harness(allowed.unsqueeze(0).expand({heads, -1, -1}));
}

// 0, but infinite for queries with a product of q and k that overflows before it is scaled. expected:
// [queries, heads * head_dim]
at::Tensor unknown_where_overflown(const at::Tensor& products, const at::Tensor& allowed, DType dtype,
                                   const at::Tensor& expected) {
  const at::Tensor seen = products.abs().masked_fill(allowed.logical_not(), 0.0);
  const at::Tensor over = seen.ge(kNearlyOverflown * first_overflow(dtype)).any(-1);  // [heads, queries]
  const at::Tensor by_channel = over.t().repeat_interleave(expected.size(1) / over.size(0), 1);
  return at::zeros_like(expected).masked_fill(by_channel, std::numeric_limits<double>::infinity());
}

}  // namespace

// Measured apart: lambda is 2 where scores and weights are f32, 4.5 where weights are kept in a half
// type, 5.5 where scores are; the row has 2, or 4.5 in half storage.
at::Tensor fused_bound(const ReplayModel& model, const Recorded& in, const at::Tensor& q, const at::Tensor& k,
                       const at::Tensor& v, double scale, const at::Tensor& allowed) {
  const ops::FusedPrecision precision{in.kept(Probe::scores), in.kept(Probe::probs), in.rounds_each()};
  const double row = is_half(model.storage) ? 4.5 : 2.0;
  const double measured = is_half(precision.scores) ? 5.5 : is_half(precision.probs) ? 4.5 : 2.0;
  return measured / row * ops::fused_attention_bound(q, k, v, scale, allowed, precision);
}

Replay replay_scores(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const at::Tensor q = queries_of(in, site, rows);
  const at::Tensor k = cache_of(model, in, Probe::past_key, site);
  const double scale = model.sizes.attention_scale;
  const bool each = in.rounds_each() && is_half(in.kept(Probe::scores));
  Replay replay = make_replay(
      by_queries(rows, query_block(q.size(0), k.size(1)), 1, [&](std::int64_t first, std::int64_t count) {
        const at::Tensor part = q.narrow(1, first, count);
        Bounded block{ops::scores(part, k, scale), ops::scores_bound(part, k, scale)};
        if (each) block.rounded = ops::scores_rounded(part, k, scale, in.kept(Probe::scores));
        return block;
      }));
  replay.allowed = for_each_head(in.allowed(site.layer, rows), q.size(0));
  return replay;
}

Replay replay_softmax(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const at::Tensor s = in.probe({Probe::scores, site.layer}, rows);
  const at::Tensor allowed = in.allowed(site.layer, rows);
  const bool casts = model.storage == DType::f64 && in.precision().rounding == Rounding::each;
  Replay replay = make_replay(
      by_queries(rows, query_block(s.size(0), s.size(2)), 1, [&](std::int64_t first, std::int64_t count) {
        const at::Tensor part = s.narrow(1, first, count);
        const at::Tensor mask = allowed.narrow(0, first, count);
        const at::Tensor p = ops::softmax(part, mask);
        at::Tensor bound = ops::softmax_bound(part, p, mask);
        if (casts) bound = bound + ops::cast_scores_bound(part, p, mask);
        return Bounded{p, bound};
      }));
  replay.allowed = for_each_head(allowed, s.size(0));
  replay.trivial = allowed.sum(-1).max().item<std::int64_t>() <= 1;
  return replay;
}

// Weights at forbidden places are summed as recorded: that they should be 0 is softmax's affair.
Replay replay_context(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const at::Tensor p = in.probe({Probe::probs, site.layer}, rows);
  const at::Tensor v = cache_of(model, in, Probe::past_value, site);
  const at::Tensor allowed = in.allowed(site.layer, rows);
  return make_replay(
      by_queries(rows, query_block(p.size(0), p.size(2)), 0, [&](std::int64_t first, std::int64_t count) {
        const at::Tensor part = p.narrow(1, first, count);
        return Bounded{ops::context(part, v), ops::context_bound(part, v, allowed.narrow(0, first, count))};
      }));
}

Replay replay_fused_attention(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const at::Tensor q = queries_of(in, site, rows);
  const at::Tensor k = cache_of(model, in, Probe::past_key, site);
  const at::Tensor v = cache_of(model, in, Probe::past_value, site);
  const at::Tensor allowed = in.allowed(site.layer, rows);
  const double scale = model.sizes.attention_scale;
  return make_replay(
      by_queries(rows, query_block(q.size(0), k.size(1)), 0, [&](std::int64_t first, std::int64_t count) {
        // Only the keys that a query of the block may see: under a causal mask that is half of the work.
        const at::Tensor block = allowed.narrow(0, first, count);
        const at::Tensor seen = block.any(0).nonzero();
        const std::int64_t begin = seen[0].item<std::int64_t>();
        const std::int64_t keys = seen[seen.size(0) - 1].item<std::int64_t>() + 1 - begin;
        const at::Tensor mask = block.narrow(1, begin, keys);
        const at::Tensor part = q.narrow(1, first, count);
        const at::Tensor key = k.narrow(1, begin, keys), value = v.narrow(1, begin, keys);
        const at::Tensor s = ops::scores(part, key, scale);
        Bounded result{ops::context(ops::softmax(s, mask), value),
                       fused_bound(model, in, part, key, value, scale, mask)};
        if (in.rounds_each() && is_half(in.kept(Probe::scores)))
          result.rounded.roundings =
              unknown_where_overflown(s / scale, mask, in.kept(Probe::scores), result.expected);
        return result;
      }));
}

}  // namespace plumbline::reference
