#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "reference/internal/ops_torch.h"
#include "reference/internal/rounding_torch.h"

namespace plumbline::reference::ops {
namespace {

constexpr std::int64_t kReadings = 16;  // where a running sum is read
constexpr double kSmallest = 0x1p-126;

// Largest and smallest value that a running sum took, 0 included.
struct Extent {
  at::Tensor sum;
  at::Tensor highest;
  at::Tensor lowest;
  explicit Extent(const at::Tensor& zeros) : sum(zeros), highest(zeros), lowest(zeros) {}
  void add(const at::Tensor& terms) {
    sum = sum + terms;
    highest = at::maximum(highest, sum);
    lowest = at::minimum(lowest, sum);
  }
  at::Tensor width() const { return highest - lowest; }
};

std::int64_t reading_step(std::int64_t n) {
  return (n + kReadings - 1) / kReadings;
}

// How many keys each query may see: f64 [queries].
at::Tensor allowed_keys(const at::Tensor& allowed) {
  return allowed.sum(-1, /*keepdim=*/false, at::kDouble);
}

// Keys counted by some queries.
struct Range {
  std::int64_t begin = 0, n = 0;
  bool plain = false;  // one range of neighbours, the same for every head
};

// counted: boolean [heads, queries, keys] -> one for each query
std::vector<Range> ranges_of(const at::Tensor& counted) {
  const at::Tensor any = counted.any(0);
  const at::Tensor same = any.eq(counted.all(0)).all(-1);
  const at::Tensor n = any.sum(-1), first = any.to(at::kByte).argmax(-1);
  const at::Tensor after = counted.size(2) - any.flip(-1).to(at::kByte).argmax(-1);
  std::vector<Range> ranges;
  for (std::int64_t query = 0; query < counted.size(1); ++query) {
    Range range{first[query].item<std::int64_t>(), n[query].item<std::int64_t>(), same[query].item<bool>()};
    range.plain = range.plain && after[query].item<std::int64_t>() == range.begin + range.n;
    ranges.push_back(range);
  }
  return ranges;
}

// R of sum_j p_j v_j, read at every `step` keys. p: [heads, queries, keys]; v: [heads, keys, head_dim] ->
// [heads, queries, head_dim]
at::Tensor wander(const at::Tensor& p, const at::Tensor& v, std::int64_t step) {
  Extent extent(at::zeros({p.size(0), p.size(1), v.size(2)}, v.options()));
  for (std::int64_t from = 0; from < v.size(1); from += step) {
    const std::int64_t length = std::min(step, v.size(1) - from);
    extent.add(at::matmul(p.narrow(2, from, length), v.narrow(1, from, length)));
  }
  return extent.width();
}

// The same of one query over the keys that count for each head, boolean [heads, keys]: heads may leak by
// themselves, and to keys here and there. p: [heads, 1, keys]
at::Tensor wander_by_heads(const at::Tensor& p, const at::Tensor& v, const at::Tensor& counted) {
  std::vector<at::Tensor> heads;
  for (std::int64_t head = 0; head < counted.size(0); ++head) {
    const at::Tensor keys = counted[head].nonzero().flatten();
    heads.push_back(wander(p.narrow(0, head, 1).index_select(2, keys),
                           v.narrow(0, head, 1).index_select(1, keys), reading_step(keys.numel())));
  }
  return at::cat(heads);
}

// R over the keys that count, [heads, queries, keys], read at 16 equal steps of each query's own.
at::Tensor context_wander(const at::Tensor& probs, const at::Tensor& v, const at::Tensor& counted) {
  const std::vector<Range> ranges = ranges_of(counted);
  const auto queries = static_cast<std::int64_t>(ranges.size());
  const auto at = [&](std::int64_t query) -> const Range& { return ranges[static_cast<std::size_t>(query)]; };
  std::vector<at::Tensor> rows;
  for (std::int64_t query = 0; query < queries;) {
    const auto& [begin, n, plain] = at(query);
    const std::int64_t step = reading_step(n);
    std::int64_t end = query + 1, longest = n;
    // Of a causal mask 16 queries have the same step: at the keys that the others do not see p is 0.
    while (plain && end < queries && at(end).plain && at(end).begin == begin &&
           reading_step(at(end).n) == step)
      longest = std::max(longest, at(end++).n);
    const at::Tensor p = probs.narrow(1, query, end - query);
    rows.push_back(plain ? wander(p.narrow(2, begin, longest), v.narrow(1, begin, longest), step)
                         : wander_by_heads(p, v, counted.select(1, query)));
    query = end;
  }
  return at::cat(rows, 1);
}

// u sqrt(n) (R + Q): [heads, queries, head_dim]. A key counts where it is allowed or has a weight all the
// same: an engine that leaks sums it, and rounds as it does so.
at::Tensor weighted_sum_bound(const at::Tensor& probs, const at::Tensor& v, const at::Tensor& allowed) {
  const at::Tensor counted = at::logical_or(allowed, probs != 0);  // [heads, queries, keys]
  const at::Tensor root_n = counted.sum(-1, /*keepdim=*/true, at::kDouble).sqrt();
  const at::Tensor root_squares = at::matmul(probs.square(), v.square()).sqrt();
  return kUnitRoundoff * root_n * (context_wander(probs, v, counted) + root_squares);
}

// [heads, queries, head_dim] -> [queries, heads * head_dim]
at::Tensor join_heads(const at::Tensor& x) {
  return x.transpose(0, 1).reshape({x.size(1), x.size(0) * x.size(2)});
}

// sqrt(sum (e (v - c))^2): what errors e of the weights, [heads, queries, keys], make of c. Multiplied out so
// that it is three matrix products.
at::Tensor root_spread(const at::Tensor& e, const at::Tensor& v, const at::Tensor& c) {
  const at::Tensor w = e.square();
  const at::Tensor spread =
      at::matmul(w, v.square()) - 2.0 * c * at::matmul(w, v) + c.square() * w.sum(-1, /*keepdim=*/true);
  return spread.clamp_min(0.0).sqrt();
}

// D = |s - max s| over allowed keys, 0 elsewhere.
at::Tensor distance_from_largest(const at::Tensor& scores, const at::Tensor& allowed) {
  const double infinity = std::numeric_limits<double>::infinity();
  const at::Tensor largest = scores.masked_fill(allowed.logical_not(), -infinity).amax(-1, /*keepdim=*/true);
  return (scores - largest).abs().masked_fill(allowed.logical_not(), 0.0);
}

}  // namespace

at::Tensor expand_groups(const at::Tensor& x, std::int64_t group) {
  return x.transpose(0, 1).repeat_interleave(group, 0);
}

at::Tensor scores(const at::Tensor& q, const at::Tensor& k, double scale) {
  return at::matmul(q, k.transpose(1, 2)) * scale;
}

// s u (sqrt(d)(R + Q) + 2|qk|): the dot product, then two roundings of the scaled one.
at::Tensor scores_bound(const at::Tensor& q, const at::Tensor& k, double scale) {
  const std::int64_t d = q.size(2);
  Extent extent(at::zeros({q.size(0), q.size(1), k.size(1)}, q.options()));
  for (std::int64_t from = 0; from < d; from += reading_step(d)) {
    const std::int64_t length = std::min(reading_step(d), d - from);
    extent.add(at::matmul(q.narrow(2, from, length), k.narrow(2, from, length).transpose(1, 2)));
  }
  const at::Tensor root_squares = at::matmul(q.square(), k.square().transpose(1, 2)).sqrt();
  const double root_d = std::sqrt(static_cast<double>(d));
  return scale * kUnitRoundoff * (root_d * (extent.width() + root_squares) + 2.0 * extent.sum.abs());
}

// The product is rounded before it is scaled: h(qk) s.
Rounded scores_rounded(const at::Tensor& q, const at::Tensor& k, double scale, DType dtype) {
  const at::Tensor product = at::matmul(q, k.transpose(1, 2));
  const at::Tensor roundings = half_spacings(product, dtype) * scale;
  const at::Tensor unknown = at::full({}, std::numeric_limits<double>::infinity(), product.options());
  return {rounded_to(rounded_to(product, dtype) * scale, dtype),
          at::where(product.abs() >= kNearlyOverflown * first_overflow(dtype), unknown,
                    and_the_last(product * scale, roundings, dtype))};
}

at::Tensor softmax(const at::Tensor& scores, const at::Tensor& allowed) {
  const double infinity = std::numeric_limits<double>::infinity();
  return at::softmax(wide(scores).masked_fill(allowed.logical_not(), -infinity), -1).to(scores.scalar_type());
}

// u p (D + sum p D + sqrt(n)/2 + 4) + 2^-126: each exponent's rounding, the sum's, and the division's.
at::Tensor softmax_bound(const at::Tensor& scores, const at::Tensor& probs, const at::Tensor& allowed) {
  // A score of minus infinity, as an overflow may leave it, has no weight and no error.
  const at::Tensor distance = distance_from_largest(scores, allowed).masked_fill(probs.eq(0), 0.0);
  const at::Tensor mean_distance = (probs * distance).sum(-1, /*keepdim=*/true);
  const at::Tensor root_n = allowed_keys(allowed).sqrt().unsqueeze(-1);
  const at::Tensor bound =
      kUnitRoundoff * probs * (distance + mean_distance + root_n / 2.0 + 4.0) + kSmallest;
  return bound.masked_fill(allowed.logical_not(), 0.0);
}

// u p (|s| + sum p |s|): each score is rounded before it is exponentiated.
at::Tensor cast_scores_bound(const at::Tensor& scores, const at::Tensor& probs, const at::Tensor& allowed) {
  const at::Tensor size = scores.abs().masked_fill(allowed.logical_not(), 0.0);
  return kUnitRoundoff * probs * (size + (probs * size).sum(-1, /*keepdim=*/true));
}

at::Tensor context(const at::Tensor& probs, const at::Tensor& v) {
  return join_heads(at::matmul(probs, v));
}

at::Tensor context_bound(const at::Tensor& probs, const at::Tensor& v, const at::Tensor& allowed) {
  return join_heads(weighted_sum_bound(probs, v, allowed));
}

// sqrt(sum (p (v - c) delta)^2) + u sqrt(n)(R + Q) + u|c|(sqrt(n)/2 + 4) + 2^-126, where delta = B(scores) +
// u(2D + |s|) is what each score may be off by when it is exponentiated. Scores in a half type: and
// sqrt(sum (p (v - c) delta')^2), delta' = h(qk) s + h(s). Weights in a half type: and sqrt(sum (r v)^2), r =
// u_h p, in f16 2^-25 more, where p may be subnormal.
at::Tensor fused_attention_bound(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                                 const at::Tensor& allowed, const FusedPrecision& precision) {
  const at::Tensor s = ops::scores(q, k, scale);
  const at::Tensor p = ops::softmax(s, allowed);
  const at::Tensor c = at::matmul(p, v);
  const at::Tensor distance = distance_from_largest(s, allowed);
  const at::Tensor delta = scores_bound(q, k, scale) + kUnitRoundoff * (2.0 * distance + s.abs());
  at::Tensor bound = root_spread(p * delta, v, c);
  if (is_half(precision.scores)) {
    const at::Tensor first =
        precision.each ? half_spacings(s / scale, precision.scores) * scale : at::zeros_like(s);
    bound = bound + root_spread(p * (first + half_spacings(s, precision.scores)), v, c);
  }
  if (is_half(precision.probs)) {
    const at::Tensor kept = precision.probs == DType::f16 ? p * 0x1p-11 + 0x1p-25 : p * 0x1p-8;
    bound = bound + at::matmul(kept.masked_fill(allowed.logical_not(), 0.0).square(), v.square()).sqrt();
  }
  const at::Tensor root_n = allowed_keys(allowed).sqrt().unsqueeze(-1);
  const at::Tensor tail = kUnitRoundoff * c.abs() * (root_n / 2.0 + 4.0) + kSmallest;
  return join_heads(bound + weighted_sum_bound(p, v, allowed) + tail);
}

}  // namespace plumbline::reference::ops
