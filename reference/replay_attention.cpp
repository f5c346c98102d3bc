// Replays of scores, softmax and context, and of the three fused into one kernel.
#include <algorithm>
#include <vector>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/replay_torch.h"

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
};

// Runs op(first query, number of queries) over blocks of queries, and joins what it gives along `axis`.
template <typename Op>
Bounded by_queries(std::int64_t queries, std::int64_t block_size, std::int64_t axis, Op op) {
  std::vector<at::Tensor> expected;
  std::vector<at::Tensor> bound;
  for (std::int64_t first = 0; first < queries; first += block_size) {
    const Bounded block = op(first, std::min(block_size, queries - first));
    expected.push_back(block.expected);
    bound.push_back(block.bound);
  }
  return {at::cat(expected, axis), at::cat(bound, axis)};
}

Replay make_replay(const Bounded& result) {
  Replay replay;
  replay.expected = to_harness(result.expected);
  replay.bound = to_harness(result.bound);
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

}  // namespace

Replay replay_scores(const ReplayModel& model, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const at::Tensor q = queries_of(in, site, rows);
  const at::Tensor k = cache_of(model, in, Probe::past_key, site);
  const double scale = model.sizes.attention_scale;
  Replay replay = make_replay(
      by_queries(rows, query_block(q.size(0), k.size(1)), 1, [&](std::int64_t first, std::int64_t count) {
        const at::Tensor part = q.narrow(1, first, count);
        return Bounded{ops::scores(part, k, scale), ops::scores_bound(part, k, scale)};
      }));
  replay.allowed = for_each_head(in.allowed(site.layer, rows), q.size(0));
  return replay;
}

Replay replay_softmax(const ReplayModel&, const Recorded& in, OpSite site) {
  const std::int64_t rows = in.rows(site);
  const at::Tensor s = in.probe({Probe::scores, site.layer}, rows);
  const at::Tensor allowed = in.allowed(site.layer, rows);
  Replay replay = make_replay(
      by_queries(rows, query_block(s.size(0), s.size(2)), 1, [&](std::int64_t first, std::int64_t count) {
        const at::Tensor part = s.narrow(1, first, count);
        const at::Tensor mask = allowed.narrow(0, first, count);
        const at::Tensor p = ops::softmax(part, mask);
        return Bounded{p, ops::softmax_bound(part, p, mask)};
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
        const at::Tensor p = ops::softmax(ops::scores(part, key, scale), mask);
        return Bounded{ops::context(p, value), ops::fused_attention_bound(part, key, value, scale, mask)};
      }));
}

}  // namespace plumbline::reference
