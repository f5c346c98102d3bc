// Phase 5: where a token stands. Positions near and far, and the rotation at each.
#include <functional>
#include <limits>
#include <map>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "impl/positions.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/mask_trials.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/mask.h"
#include "reference/rope.h"

namespace plumbline::phases {
namespace {

constexpr std::int64_t kFar = 1'000'000;

}  // namespace

TEST_CASE("5B.2 position ids: created, counted on, and exact as floats", "[5B.2]") {
  for (const std::int64_t past : {0, 1, 9, 1000, 32'000, 131'072, 1'000'000}) {
    for (const std::int64_t tokens : {1, 5, 64}) {
      const std::string name = fmt::format("{} past, {} new", past, tokens);
      const Tensor ours = native_positions(past, tokens), right = reference::position_ids(past, tokens);
      record(check_same_bits("position ids", name, ours.view(), right.view()));
      record(
          check_close("as floats", name, as_f32(ours).view(), right.view(), tolerances().gate("position")));
    }
  }
}

TEST_CASE("5B.2 position ids: put together from increments, and after a cached prefix", "[5B.2]") {
  constexpr std::int64_t kTokens = 60;
  for (const std::int64_t first : {std::int64_t{0}, kFar}) {
    for (const Split& split : splits(kTokens)) {
      EndToEnd counted;
      std::int64_t past = first;
      for (const std::int64_t tokens : split.lengths) {
        counted.add(native_positions(past, tokens).view());
        past += tokens;
      }
      const std::string name = fmt::format("from {}, {}", first, split.name);
      const Tensor right = reference::position_ids(first, kTokens);
      record(check_same_bits("put together", name, counted.joined().view(), right.view()));
      record(check_close("as floats", name, as_f32(counted.joined()).view(), right.view(),
                         tolerances().gate("position")));
    }
  }
  const Prompt prompt = passage();
  const auto length = static_cast<std::int64_t>(prompt.ids.size());
  for (const CacheKind kind : kKinds) {
    for (const Split& split : splits(length)) {
      EndToEnd used;
      for (const TraceStep& step : recorded_inputs(prompt, split.lengths, kind).steps)
        used.add(step.tensors.at({Probe::position_ids, -1}).view());
      record(check_same_bits("after a cached prefix", kind_name(kind) + ", " + split.name,
                             used.joined().view(), reference::position_ids(0, length).view()));
    }
  }
}

TEST_CASE("5B.2 position ids: of a batch that is filled up at its left, at its tokens", "[5B.2]") {
  const std::vector<std::int64_t> lengths{3, 16, 1, 9};
  const Tensor real = left_padded(lengths);
  const Tensor ours = native::left_padded_positions(real.view());
  const Tensor theirs = reference::left_padded_positions(real.view());
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    const auto tokens = [&](const Tensor& positions) {
      return TensorView(positions.values<std::int64_t>().data() + row * 16 + 16 - lengths[i], DType::i64,
                        Shape{lengths[i]});
    };
    const std::string name = fmt::format("sequence of {} of 16", lengths[i]);
    record(check_same_bits("native and reference", name, tokens(ours), tokens(theirs)));
    record(check_same_bits("counted from its first token", name, tokens(ours),
                           reference::position_ids(0, lengths[i]).view()));
  }
}

TEST_CASE("5B.2 position ids: angles and rotation from 0 to a million", "[5B.2]") {
  Evidence table{"Rotation by position: shares of the gates, and the distance from the real angle",
                 {"positions", "share, cos", "share, sin", "share, own frequencies", "share, rotated",
                  "rotated off by", "cos and sin off the real angle's"},
                 {}};
  const std::int64_t tokens = options().quick ? 16 : 64;
  struct Stretch {
    std::int64_t first, tokens;
  };
  std::vector<Stretch> stretches{{1, tokens},       {1'000, tokens},
                                 {4'096, tokens},   {32'768 - tokens, tokens},
                                 {131'072, tokens}, {kFar - tokens + 1, tokens}};
  if (!options().quick) stretches.push_back({0, 4'096});
  const OpSite cos{Probe::cos, -1}, sin{Probe::sin, -1}, rotated{Probe::q_rope, 0};
  for (const auto& [first, count] : stretches) {
    const std::string name = fmt::format("positions {} to {}", first, first + count - 1);
    const Trace trace = rotation(first, count);
    const OpSite sites[] = {{Probe::position_ids, -1}, {Probe::inv_freq, -1}, cos, sin, rotated};
    const Judgement judgement = judged_sites(trace, sites);
    record_judgement(judgement, name);
    const OpSite waves[] = {cos, sin};
    const Judgement own = judged_sites(without_frequencies(trace), waves);
    record_judgement(own, name + ", frequencies not known");

    const auto& tensors = trace.steps[0].tensors;
    const reference::CosSin real =
        reference::real_cos_sin(subject().config(), trace.steps[0].given->positions);
    const double off = std::max(measure_error(tensors.at(cos).view(), real.cos.view()).max_abs,
                                measure_error(tensors.at(sin).view(), real.sin.view()).max_abs);
    const auto share = [](const OpResult& op) { return fmt::format("{:.2f}", op.share); };
    table.rows.push_back(
        {fmt::format("{} to {}", first, first + count - 1), share(judgement.ops[2]), share(judgement.ops[3]),
         fmt::format("{:.2f}", std::max(own.ops[0].share, own.ops[1].share)), share(judgement.ops[4]),
         fmt::format("{:.1e}", judgement.ops[4].local.max_abs), fmt::format("{:.1e}", off)});
  }
  add_evidence(std::move(table));
}

TEST_CASE("5B.2 position ids: a prefill a million places on, judged op by op", "[5B.2]") {
  const Prompt prompt = line();
  const auto tokens = static_cast<std::int64_t>(prompt.ids.size());
  const std::vector<std::int64_t> positions = native::position_ids(kFar - tokens + 1, tokens);
  const auto cache = subject().make_cache({CacheKind::concat, 1, 0, subject().info().storage});
  const SequenceStep step{0, prompt.ids, positions, LogitsWanted::all};
  TraceRecorder recorder(subject());
  recorder.begin({&step, 1}, cache.get());
  subject().forward({&step, 1}, *cache, recorder);
  record_judgement(judged_and_explained(recorder.take()), fmt::format("to position {}", kFar));
}

TEST_CASE("5B.2 position ids: those that cannot be are refused, and the cache stays as it was", "[5B.2]") {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const Tensor pads(DType::boolean, {2, 4}), none(DType::boolean, {0, 4});
  using Call = std::function<void()>;
  struct Bad {
    const char* what;
    Call native, reference;
  };
  const std::vector<Bad> all{
      {"a negative past", [] { native::position_ids(-1, 2); }, [] { reference::position_ids(-1, 2); }},
      {"a negative number of tokens", [] { native::position_ids(1, -2); },
       [] { reference::position_ids(1, -2); }},
      {"a past near the end of 64 bits", [] { native::position_ids(kMost - 1, 4); },
       [] { reference::position_ids(kMost - 1, 4); }},
      {"as many tokens as 64 bits count", [] { native::position_ids(1, kMost); },
       [] { reference::position_ids(1, kMost); }},
      {"one position beyond 2^24", [] { native::position_ids(native::kLargestPosition, 2); },
       [] { reference::position_ids(reference::kLargestPosition, 2); }},
      {"a sequence of pads alone", [&] { native::left_padded_positions(pads.view()); },
       [&] { reference::left_padded_positions(pads.view()); }},
      {"an empty padded batch", [&] { native::left_padded_positions(none.view()); },
       [&] { reference::left_padded_positions(none.view()); }},
  };
  for (const Bad& bad : all)
    record_equal(bad.what, "native, reference", "refused, refused",
                 refusal(bad.native) + ", " + refusal(bad.reference));

  const std::vector<TokenId> ids = line().ids;
  const std::span<const TokenId> token(ids.data(), 1);
  for (const CacheKind kind : kKinds) {
    const auto length = static_cast<std::int64_t>(ids.size());
    const auto cache = subject().make_cache({kind, 1, length + 1, subject().info().storage});
    record_steps(subject(), *cache, ids, std::span(&length, 1), ProbeFilter({"lm_head"}));
    const Tensor keys = cache->read_key(0, 0);
    for (const std::int64_t position : {std::int64_t{-1}, native::kLargestPosition + 1, kMost}) {
      const SequenceStep step{0, token, std::span(&position, 1), LogitsWanted::last};
      NullSink nothing;
      record_equal(fmt::format("a step at position {}", position), kind_name(kind), "refused", refusal([&] {
                     subject().forward({&step, 1}, *cache, nothing);
                   }));
    }
    record(check_same_bits("keys after the refusals", kind_name(kind), cache->read_key(0, 0).view(),
                           keys.view()));
  }
}

}  // namespace plumbline::phases
