// Suspects of the softmax: masks, the formula, and what its denominator counts.
#include <cmath>
#include <limits>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
namespace {

using ops::kUnitRoundoff;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kFewestKeys = 4;  // of a row that is evidence, where a number of it was fitted

at::Tensor recorded_scores(const Scene& s) {
  return s.in.probe({Probe::scores, s.layer()}, s.rows());  // [heads, rows, keys]
}

at::Tensor right_mask(const Scene& s) {
  return s.in.allowed(s.layer(), s.rows());
}

// Rows in which no key is allowed leave open what stands there.
Mistaken softmaxed(const at::Tensor& scores, const at::Tensor& allowed) {
  const at::Tensor some = allowed.any(-1, /*keepdim=*/true);
  const at::Tensor mask = allowed.logical_or(some.logical_not());
  const at::Tensor p = ops::softmax(scores, mask);
  return {p, ops::softmax_bound(scores, p, mask), some};
}

// Without the maximum subtracted: in f32, whose exponent overflows from 88.7 on, and loses its bits below
// -87.3, where engines differ.
Mistaken without_maximum(const Scene& s) {
  const at::Tensor scores = recorded_scores(s), mask = right_mask(s);
  const at::Tensor e = scores.to(at::kFloat).exp().masked_fill(mask.logical_not(), 0.0).to(at::kDouble);
  const at::Tensor sum = e.sum(-1, true);
  const double largest = std::numeric_limits<float>::max();
  const at::Tensor p =
      (e / at::where(sum > largest, at::full_like(sum, kInfinity), sum)).masked_fill(mask.logical_not(), 0.0);
  const at::Tensor exact = scores.exp().masked_fill(mask.logical_not(), 0.0);
  const auto subnormal = [](const at::Tensor& x) { return x.lt(0x1p-126).logical_and(x.gt(0x1p-150)); };
  // A sum of 0 makes NaN of every weight, unless the division is guarded.
  const at::Tensor open = subnormal(exact).logical_or(subnormal(exact.sum(-1, true))).logical_or(sum.eq(0));
  return {p, ops::softmax_bound(scores, at::nan_to_num(p, 0.0, 0.0, 0.0), mask), open.logical_not()};
}

// What the right softmax is made of: e^(s - max), 0 where the mask forbids, and its sum.
struct Parts {
  at::Tensor scores, mask, largest, e, sum;
  at::Tensor probs() const { return e / sum; }
  at::Tensor seen() const { return mask.expand_as(scores); }
};

Parts parts_of(const Scene& s) {
  Parts parts;
  parts.scores = recorded_scores(s);
  parts.mask = right_mask(s);
  const at::Tensor x = parts.scores.masked_fill(parts.mask.logical_not(), -kInfinity);
  parts.largest = x.amax(-1, /*keepdim=*/true);
  parts.e = at::exp(x - parts.largest);
  parts.sum = parts.e.sum(-1, true);
  return parts;
}

// A finite number added where the mask forbids: what it must be, from the weights that stand there.
std::optional<double> penalty_of(const Scene& s) {
  try {
    const Parts right = parts_of(s);
    const at::Tensor y = s.output(right.e), seen = right.seen();
    constexpr double kNormal = 0x1p-126;
    const at::Tensor forbidden = seen.logical_not().logical_and(y.gt(kNormal));
    if (!forbidden.any().item<bool>()) return std::nullopt;
    // p = e^(s - largest) / sum at seen places, with e^-penalty at the others.
    const at::Tensor sum = (right.e / y).masked_fill(right.e.lt(0.5), -kInfinity).amax(-1, true);
    const at::Tensor penalties = (right.scores - right.largest - at::log(y * sum)).masked_select(forbidden);
    const double penalty = penalties.median().item<double>();
    return std::isfinite(penalty) && penalty > 0 ? std::optional<double>(penalty) : std::nullopt;
  } catch (const NotReplayable&) {
    return std::nullopt;
  }
}

void add_softmax_masks(Lineup& lineup) {
  for (const MistakenMask& mask : mistaken_masks(lineup.scene(), lineup.scene().slides())) {
    lineup.add(mask.name, mask.meaning, [allowed = mask.allowed](const Scene& s) {
      return softmaxed(recorded_scores(s), allowed(s));
    });
  }
  lineup.add("forbidden scores set to 0", "the mask is multiplied in before the softmax", [](const Scene& s) {
    const at::Tensor mask = right_mask(s);
    return softmaxed(recorded_scores(s).masked_fill(mask.logical_not(), 0.0), at::ones_like(mask));
  });
  const auto weak = [&](const std::string& number, double penalty, bool fitted) {
    lineup.add(
        "mask too weak (-" + number + ")", "a finite number is added where the mask forbids",
        [=](const Scene& s) {
          const at::Tensor mask = right_mask(s);
          const at::Tensor scores = recorded_scores(s);
          return softmaxed(at::where(mask, scores, scores - penalty), at::ones_like(mask));
        },
        fitted);
  };
  weak("1e4", 1e4, false);
  weak("100", 100, false);
  weak("10", 10, false);
  const std::optional<double> other = penalty_of(lineup.scene());
  if (other) weak(in_digits(*other, 4), *other, true);
}

void add_softmax_formula(Lineup& lineup) {
  const auto add = [&](const char* name, const char* meaning,
                       std::function<at::Tensor(const Scene&, const at::Tensor&)> change) {
    lineup.add(name, meaning,
               [=](const Scene& s) { return softmaxed(change(s, recorded_scores(s)), right_mask(s)); });
  };
  lineup.add("softmax without the maximum", "e^s overflows for large scores", without_maximum);
  add("scale applied again", "the scores are scaled already",
      [](const Scene& s, const at::Tensor& x) { return x * s.model.sizes.attention_scale; });
  add("scale undone", "the scores are multiplied by sqrt(head_dim)",
      [](const Scene& s, const at::Tensor& x) { return x / s.model.sizes.attention_scale; });
  add("powers of 2 instead of e", "2^s", [](const Scene&, const at::Tensor& x) { return x * std::log(2.0); });
  add("bf16 scores", "the scores are rounded before the softmax",
      [](const Scene&, const at::Tensor& x) { return rounded_to(x, DType::bf16); });
  add("f16 scores", "the scores are rounded before the softmax",
      [](const Scene&, const at::Tensor& x) { return rounded_to(x, DType::f16); });
  add("scores capped at 50", "50 tanh(s / 50), as Gemma does",
      [](const Scene&, const at::Tensor& x) { return 50.0 * at::tanh(x / 50.0); });
  lineup.add("softmax over the heads axis", "the sum runs over heads", [](const Scene& s) {
    const at::Tensor p = at::softmax(recorded_scores(s), 0).masked_fill(right_mask(s).logical_not(), 0.0);
    return Mistaken{p, ops::softmax_bound(recorded_scores(s), p, right_mask(s))};
  });
  lineup.add("softmax over the queries axis", "the sum runs over queries", [](const Scene& s) {
    const at::Tensor mask = right_mask(s), scores = recorded_scores(s);
    const at::Tensor p = at::softmax(scores.masked_fill(mask.logical_not(), -kInfinity), 1);
    return Mistaken{at::nan_to_num(p, 0.0), ops::softmax_bound(scores, at::nan_to_num(p, 0.0), mask)};
  });
  lineup.add("not normalised", "e^(s - max) is not divided by the sum", [](const Scene& s) {
    const at::Tensor mask = right_mask(s), x = recorded_scores(s).masked_fill(mask.logical_not(), -kInfinity);
    const at::Tensor e = at::exp(x - x.amax(-1, true));
    return Mistaken{e, ops::softmax_bound(recorded_scores(s), e, mask)};
  });
  lineup.add("denominator plus one", "1 + the sum, a sink that Qwen2 does not have", [](const Scene& s) {
    const at::Tensor mask = right_mask(s), x = recorded_scores(s).masked_fill(mask.logical_not(), -kInfinity);
    const at::Tensor largest = x.amax(-1, true), e = at::exp(x - largest);
    const at::Tensor p = e / (e.sum(-1, true) + at::exp(-largest));
    return Mistaken{p, ops::softmax_bound(recorded_scores(s), p, mask)};
  });
  lineup.add("no softmax", "the scores themselves are the weights", [](const Scene& s) {
    const at::Tensor x = recorded_scores(s).masked_fill(right_mask(s).logical_not(), 0.0);
    return Mistaken{x, at::zeros_like(x)};
  });
}

// The right weights, each row times a factor: [heads, rows, 1].
Mistaken weights_times(const Parts& right, const at::Tensor& factor) {
  const at::Tensor p = right.probs(), y = p * factor;
  const at::Tensor bound = ops::softmax_bound(right.scores, p, right.mask) * factor.clamp_min(1.0);
  const at::Tensor enough = right.mask.sum(-1, true).ge(kFewestKeys);  // [rows, 1]
  return {y, bound + kUnitRoundoff * y.abs(), enough};
}

// By how much the subject's denominator is larger: right weight over the subject's, by row.
at::Tensor denominator_ratio(const Scene& s, const Parts& right) {
  const at::Tensor p = right.probs(), y = s.output(p).masked_fill(right.mask.logical_not(), 0.0);
  return p.square().sum(-1, true) / (p * y).sum(-1, true);
}

void add_denominators(Lineup& lineup) {
  lineup.add("forbidden keys in the denominator",
             "the mask is applied to the weights, after the sum was taken over all keys", [](const Scene& s) {
               const Parts right = parts_of(s);
               const at::Tensor all = at::exp(right.scores - right.largest);
               const at::Tensor p = all / all.sum(-1, true), none = right.mask.logical_not();
               return Mistaken{p.masked_fill(none, 0.0),
                               ops::softmax_bound(right.scores, p, at::ones_like(right.mask))};
             });
  lineup.add(
      "empty slots in the denominator",
      "places with keys of 0 are attended, the same number by every query: the cache's slots beyond the "
      "sequence",
      [](const Scene& s) {
        const Parts right = parts_of(s);
        const at::Tensor one = at::exp(-right.largest) / right.sum;  // a score of 0
        const at::Tensor counts = (denominator_ratio(s, right) - 1.0) / one;
        const double count = std::round(counts.median().item<double>());
        if (!(count >= 2)) throw NotReplayable("no whole number of them");
        return weights_times(right, 1.0 / (1.0 + count * one));
      });
  lineup.add(
      "weight lost to places outside the sequence",
      "every row is the right one times a factor below 1: the denominator counts what is none of these keys: "
      "pads, free or stale slots, another sequence",
      [](const Scene& s) {
        const Parts right = parts_of(s);
        const at::Tensor ratio = denominator_ratio(s, right);
        constexpr double kRounding = 1e-5;
        if (!ratio.ge(1.0 - kRounding).all().item<bool>()) throw NotReplayable("weight is gained");
        return weights_times(right, 1.0 / ratio);
      },
      /*fitted=*/true);
}

// Places that the subject left at 0, of those where the right weight is not.
at::Tensor left_out(const Scene& s, const Parts& right) {
  const at::Tensor p = right.probs();
  constexpr double kTiny = 1e-30;  // might be 0 in f32
  const at::Tensor out = p.gt(kTiny).logical_and(s.output(p).eq(0.0));
  if (!out.any().item<bool>()) throw NotReplayable("no weight is 0");
  return out;
}

void add_left_out(Lineup& lineup) {
  lineup.add(
      "keys left out, the rest normalised", "some keys that may be seen have no part in the softmax",
      [](const Scene& s) {
        const Parts right = parts_of(s);
        return softmaxed(right.scores, right.seen().logical_and(left_out(s, right).logical_not()));
      },
      /*fitted=*/true);
  lineup.add(
      "dropout left on", "some weights are 0, the others the right ones times 1 / (1 - rate)",
      [](const Scene& s) {
        const Parts right = parts_of(s);
        const at::Tensor out = left_out(s, right), p = right.probs().masked_fill(out, 0.0);
        const double factor = ((s.output(p) * p).sum() / p.square().sum()).item<double>();
        constexpr double kLeast = 1.001;  // a rate of a thousandth
        if (!(factor > kLeast)) throw NotReplayable("the others are no larger");
        const at::Tensor bound = factor * ops::softmax_bound(right.scores, right.probs(), right.mask);
        return Mistaken{factor * p, bound + 2.0 * kUnitRoundoff * factor * p};
      },
      /*fitted=*/true);
}

void add_narrow_exponents(Lineup& lineup) {
  for (const auto& [type, name] : {std::pair{DType::bf16, "bf16"}, std::pair{DType::f16, "f16"}}) {
    lineup.add(std::string(name) + " exponents", "what e^x is taken of, s - max, is rounded to a half type",
               [type = type](const Scene& s) {
                 const Parts right = parts_of(s);
                 const at::Tensor difference = right.scores.to(at::kFloat) - right.largest.to(at::kFloat);
                 const at::Tensor x = rounded_to(difference.to(at::kDouble), type);
                 return softmaxed(x, right.mask);
               });
    lineup.add(
        "softmax in " + std::string(name),
        "s - max, its exponent and the sum are each rounded to a half type", [type = type](const Scene& s) {
          const Parts right = parts_of(s);
          const at::Tensor difference = rounded_to(right.scores - right.largest, type);
          const at::Tensor e = rounded_to(difference.exp(), type).masked_fill(right.mask.logical_not(), 0.0);
          const at::Tensor p = e / rounded_to(e.sum(-1, true), type);
          return Mistaken{p, ops::softmax_bound(right.scores, p, right.mask)};
        });
  }
}

}  // namespace

void suspect_softmax(Lineup& lineup) {
  add_softmax_masks(lineup);
  add_softmax_formula(lineup);
  add_narrow_exponents(lineup);
  add_denominators(lineup);
  add_left_out(lineup);
}

}  // namespace plumbline::reference
