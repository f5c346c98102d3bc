// Phase 5: what a token may see. The forms in which masks are added to scores are in phase5_mask_forms.cpp.
#include <functional>
#include <limits>
#include <map>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "impl/mask.h"
#include "impl/positions.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/mask_trials.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/mask.h"
#include "reference/rope.h"

namespace plumbline::phases {
namespace {

using Window = std::optional<std::int64_t>;

std::string window_name(Window window) {
  return window ? fmt::format("window {}", *window) : "no window";
}

Window window_of_mask(Probe mask) {
  if (mask == Probe::attention_mask) return window_of(0);
  return mask == Probe::attention_mask_sliding ? subject().config().sliding_window : std::nullopt;
}

}  // namespace

TEST_CASE("5B.1 causal mask: what is allowed, for every shape of step", "[5B.1]") {
  for (const std::int64_t queries : {1, 2, 7, 64}) {
    for (const std::int64_t past : {0, 1, 5, 10, 100}) {
      for (const Window window : {Window{}, Window{1}, Window{4}}) {
        record(check_same_bits("allowed keys",
                               fmt::format("{} queries, {} past, {}", queries, past, window_name(window)),
                               native::allowed_mask(queries, past, window).view(),
                               reference::allowed_mask(queries, past, window).view()));
      }
    }
  }
}

TEST_CASE("5B.1 causal mask: its shape and places at every step of a generation and of chunks", "[5B.1]") {
  const Prompt prompt = passage();
  for (const CacheKind kind : kKinds) {
    for (const Split& split : splits(static_cast<std::int64_t>(prompt.ids.size()))) {
      const std::string name = kind_name(kind) + ", " + split.name;
      std::map<OpSite, EndToEnd> used, right;
      std::int64_t past = 0;
      for (const TraceStep& step : recorded_inputs(prompt, split.lengths, kind).steps) {
        const auto queries = static_cast<std::int64_t>(step.given->tokens.size());
        for (const auto& [site, tensor] : step.tensors) {
          if (site.probe == Probe::position_ids) continue;
          used[site].add(tensor.view());
          right[site].add(reference::allowed_mask(queries, past, window_of_mask(site.probe)).view());
        }
        past += queries;
      }
      REQUIRE_FALSE(used.empty());
      for (const auto& [site, masks] : used) {
        record_equal("shapes of " + site_name(site), name, right[site].shapes(), masks.shapes());
        record(check_same_bits(site_name(site), name, masks.joined().view(), right[site].joined().view()));
      }
    }
  }
}

TEST_CASE("5B.1 causal mask: up to 4,096 tokens, with what a mask costs", "[5B.1]") {
  Evidence cost{
      "Cost of a whole mask by length", {"tokens", "booleans", "native", "reference", "as f32", "made"}, {}};
  const std::vector<std::int64_t> lengths =
      options().quick ? std::vector<std::int64_t>{512} : std::vector<std::int64_t>{512, 1024, 2048, 4096};
  for (const std::int64_t length : lengths) {
    Tensor ours, theirs, added;
    const double native_time = milliseconds([&] { ours = native::allowed_mask(length, 0, {}); });
    const double reference_time = milliseconds([&] { theirs = reference::allowed_mask(length, 0, {}); });
    const double added_time = milliseconds(
        [&] { added = native::additive_mask(ours.view(), native::MaskForm::minus_infinity, DType::f32); });
    cost.rows.push_back({std::to_string(length), fmt::format("{} bytes", ours.bytes().size()),
                         fmt::format("{:.2f} ms", native_time), fmt::format("{:.2f} ms", reference_time),
                         fmt::format("{} bytes", added.bytes().size()),
                         fmt::format("{:.2f} ms", added_time)});
    record(check_same_bits("allowed keys", fmt::format("{} tokens", length), ours.view(), theirs.view()));
    for (const Window window : {Window{}, Window{length / 4}}) {
      record(check_same_bits("allowed keys",
                             fmt::format("last 64 of {} tokens, {}", length, window_name(window)),
                             native::allowed_mask(64, length - 64, window).view(),
                             reference::allowed_mask(64, length - 64, window).view()));
    }
  }
  add_evidence(std::move(cost));
}

TEST_CASE("5B.1 causal mask: a batch, broadcast and filled up at its left", "[5B.1]") {
  const std::vector<std::int64_t> lengths{3, 16, 1, 9};
  const Tensor real = left_padded(lengths);
  const Tensor scores = scores_in(DType::f32, {4, 16, 16});
  for (const Window window : {Window{}, Window{4}}) {
    const std::string name = window_name(window);
    const Tensor one = native::allowed_mask(7, 9, window);
    record(check_same_bits("one mask for a batch of 4", name, native::over_batch(one.view(), 4),
                           reference::expanded_mask(one.view(), 4).view()));
    for (const std::int64_t queries : {16, 5, 1}) {
      record(check_same_bits("left-padded", fmt::format("last {} of 16, {}", queries, name),
                             native::padded_mask(real.view(), queries, window).view(),
                             reference::padded_mask(real.view(), queries, window).view()));
    }
    const Tensor padded = native::padded_mask(real.view(), 16, window);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const auto sequence = static_cast<std::int64_t>(i);
      record(check_same_bits(
          "left-padded, real tokens alone", fmt::format("sequence of {}, {}", lengths[i], name),
          real_part(padded, sequence, lengths[i]), reference::allowed_mask(lengths[i], 0, window).view()));
    }
    const Tensor weights = native::allowed_softmax(scores.view(), padded.view());
    record(check_close("weights", "left-padded, " + name, weights.view(),
                       reference::allowed_softmax(scores.view(), padded.view()).view(), softmax_ceiling()));
    record(check_forbidden_weight("weights", "left-padded, " + name, weights.view(), padded.view(),
                                  tolerances().gate("forbidden_weight")));
    record_equal("a pad before all tokens sees nothing, and weighs nothing", name, "0",
                 outcome_of(weights, 0));
  }
}

TEST_CASE("5B.1 causal mask: no weight where it forbids, rows that sum to one", "[5B.1]") {
  const Prompt prompt = options().quick ? line() : passage();
  const auto length = static_cast<std::int64_t>(prompt.ids.size());
  const std::int64_t size = options().quick ? 4 : 8;
  for (const CacheKind kind : kKinds) {
    const JudgedSteps steps = judge_steps(prompt.ids, chunks(length, size), kind);
    record_judgement(steps.judgement, fmt::format("chunks of {}, {}", size, kind_name(kind)));
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

TEST_CASE("5B.1 causal mask: masks that cannot be are refused", "[5B.1]") {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const Tensor none(DType::boolean, {0, 4}), some = native::allowed_mask(2, 0, {});
  const Tensor scores = scores_in(DType::f32, {2, 3});
  using Call = std::function<void()>;
  struct Bad {
    const char* what;
    Call native, reference;
  };
  const std::vector<Bad> all{
      {"no queries", [] { native::allowed_mask(0, 4, {}); }, [] { reference::allowed_mask(0, 4, {}); }},
      {"a negative past", [] { native::allowed_mask(2, -1, {}); },
       [] { reference::allowed_mask(2, -1, {}); }},
      {"a window of 0", [] { native::allowed_mask(2, 0, 0); }, [] { reference::allowed_mask(2, 0, 0); }},
      {"a past near the end of 64 bits", [] { native::allowed_mask(2, kMost - 1, {}); },
       [] { reference::allowed_mask(2, kMost - 1, {}); }},
      {"an empty mask to be added",
       [&] { native::additive_mask(none.view(), native::MaskForm::minus_infinity, DType::f32); },
       [&] { reference::additive_mask(none.view(), reference::Forbidding::minus_infinity, DType::f32); }},
      {"an empty padded batch", [&] { native::padded_mask(none.view(), 1, {}); },
       [&] { reference::padded_mask(none.view(), 1, {}); }},
      {"a batch of no sequences", [&] { native::over_batch(some.view(), 0); },
       [&] { reference::expanded_mask(some.view(), 0); }},
      {"a mask of another shape", [&] { native::allowed_softmax(scores.view(), some.view()); },
       [&] { reference::allowed_softmax(scores.view(), some.view()); }},
      {"an additive mask of whole numbers",
       [&] { native::additive_mask(some.view(), native::MaskForm::minus_infinity, DType::i64); },
       [&] { reference::additive_mask(some.view(), reference::Forbidding::minus_infinity, DType::i64); }},
  };
  for (const Bad& bad : all)
    record_equal(bad.what, "native, reference", "refused, refused",
                 refusal(bad.native) + ", " + refusal(bad.reference));
}

}  // namespace plumbline::phases
