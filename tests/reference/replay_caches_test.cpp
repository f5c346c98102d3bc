// Replays of the cache update where the cache keeps a half type, or forgets.
#include <cmath>

#include <catch2/catch.hpp>

#include "harness/half.h"
#include "harness/judge.h"
#include "harness/tolerance.h"
#include "reference/engine.h"
#include "reference/replay.h"
#include "tests/reference/fixtures.h"

using namespace plumbline;

namespace {

constexpr std::int64_t kRow = 2 * 20;  // kv heads of tiny, times head_dim
constexpr OpSite kKey{Probe::past_key, 1}, kValue{Probe::past_value, 1};

// The reference's run, whose caches are f32 and hold everything.
Trace whole() {
  const auto engine = reference::make_engine(test::tiny_model(), {DType::f32, 1});
  const auto cache = engine->make_cache({CacheKind::concat, 1, 0, DType::f32});
  return record_steps(*engine, *cache, test::some_tokens(12, 1000), std::vector<std::int64_t>{5, 1, 1, 3, 2});
}

std::uint16_t rounded(float value, DType type) {
  return type == DType::bf16 ? f32_to_bf16(value) : f32_to_f16(value);
}

Tensor narrowed(const Tensor& f32, DType type) {
  Tensor out(type, f32.shape());
  const auto from = f32.values<float>();
  for (std::size_t i = 0; i < from.size(); ++i) out.values<std::uint16_t>()[i] = rounded(from[i], type);
  return out;
}

Tensor as_f32(const Tensor& half) {
  Tensor out(DType::f32, half.shape());
  for (std::int64_t i = 0; i < half.elements(); ++i)
    out.values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(element_as_f64(half.view(), i));
  return out;
}

bool is_cache(OpSite site) {
  return site.probe == Probe::past_key || site.probe == Probe::past_value;
}

// The same run, with caches of a half type.
Trace halved(DType type) {
  Trace trace = whole();
  trace.metadata.cache = type;
  for (TraceStep& step : trace.steps) {
    for (auto& [site, tensor] : step.tensors) {
      if (is_cache(site)) tensor = narrowed(tensor, type);
    }
  }
  return trace;
}

Tensor chosen_rows(const Tensor& all, const std::vector<std::int64_t>& rows) {
  Tensor out(DType::f32, {static_cast<std::int64_t>(rows.size()), all.shape()[1], all.shape()[2]});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(all.values<float>().data() + rows[i] * kRow, kRow,
                out.values<float>().data() + static_cast<std::int64_t>(i) * kRow);
  }
  return out;
}

// Numbers of the tokens held, of so many.
std::vector<std::int64_t> held_of(const RingCache& ring, std::int64_t tokens) {
  std::vector<std::int64_t> held;
  for (std::int64_t i = 0; i < tokens; ++i) {
    if (i < ring.kept || i >= tokens - ring.ring) held.push_back(i);
  }
  return held;
}

// The same run, over a ring.
Trace forgetting(const RingCache& ring) {
  Trace trace = whole();
  trace.rings[0] = ring;
  for (TraceStep& step : trace.steps) {
    for (auto& [site, tensor] : step.tensors) {
      if (is_cache(site)) tensor = chosen_rows(tensor, held_of(ring, tensor.shape()[0]));
    }
  }
  return trace;
}

struct Court {
  std::unique_ptr<Replayer> replayer = reference::make_replayer(test::tiny_model(), DType::f32);
  Tolerances tolerances = Tolerances::load(test::fixture("tolerances.yaml"));

  OpResult judged(const Trace& trace, OpSite site, std::size_t step) const {
    return judge_op(site, TraceStepView(trace, step), *replayer, tolerances, DType::f32, DeviceKind::cpu);
  }
  bool passes(const Trace& trace, OpSite site, std::size_t step) const {
    return judged(trace, site, step).verdict == Verdict::passed;
  }
  bool passes_everywhere(const Trace& trace) const {
    bool all = true;
    for (std::size_t step = 0; step < trace.steps.size(); ++step)
      all = all && passes(trace, kKey, step) && passes(trace, kValue, step);
    return all;
  }
};

Tensor& at(Trace& trace, OpSite site, std::size_t step) {
  return trace.steps.at(step).tensors.at(site);
}

}  // namespace

TEST_CASE("replay: a cache of half type holds rounded rows, bit for bit", "[reference][replay]") {
  const Court court;
  const DType type = GENERATE(DType::bf16, DType::f16);
  const Trace right = halved(type);
  CHECK(court.passes_everywhere(right));

  SECTION("one unit of the last place in one element is seen") {
    for (const int step : {0, 3}) {
      Trace trace = halved(type);
      at(trace, kKey, static_cast<std::size_t>(step)).values<std::uint16_t>()[kRow + 3] += 1;
      CHECK_FALSE(court.passes(trace, kKey, static_cast<std::size_t>(step)));
      CHECK(court.passes(trace, kValue, static_cast<std::size_t>(step)));
    }
  }
  SECTION("digits that are cut off are seen") {
    Trace trace = halved(type);
    const Tensor exact = at(trace, {Probe::k_rope, 1}, 0);
    for (std::size_t i = 0; i < exact.values<float>().size(); ++i) {
      std::uint16_t& bits = at(trace, kKey, 0).values<std::uint16_t>()[i];
      const double kept = element_as_f64(at(trace, kKey, 0).view(), static_cast<std::int64_t>(i));
      if (std::fabs(kept) > std::fabs(exact.values<float>()[i])) bits -= 1;
    }
    CHECK_FALSE(court.passes(trace, kKey, 0));
  }
  SECTION("a value rounded to the other type before is seen") {
    const DType other = type == DType::bf16 ? DType::f16 : DType::bf16;
    Trace trace = halved(type);
    const Tensor exact = whole().steps[0].tensors.at(kKey);
    at(trace, kKey, 0) = narrowed(as_f32(narrowed(exact, other)), type);
    CHECK_FALSE(court.passes(trace, kKey, 0));
  }
  SECTION("keys that are rounded beside values that are not are told by the dtype") {
    Trace trace = whole();
    if (GENERATE(false, true))
      trace.metadata.cache = type;  // declared, or taken from the keys
    else
      trace.metadata.cache.reset();
    at(trace, kKey, 0) = narrowed(at(trace, kKey, 0), type);
    at(trace, {Probe::past_key, 0}, 0) = narrowed(at(trace, {Probe::past_key, 0}, 0), type);
    CHECK(court.passes(trace, kKey, 0));
    CHECK(court.judged(trace, kValue, 0).reason ==
          "dtype f32 where " + std::string(dtype_name(type)) + " is right");
  }
  SECTION("a half cache where f32 is declared fails; where nothing is, it is what it is") {
    Trace trace = halved(type);
    trace.metadata.cache = DType::f32;
    CHECK_FALSE(court.passes(trace, kKey, 0));
    trace.metadata.cache.reset();
    CHECK(court.passes_everywhere(trace));
  }
  SECTION("where the cache was not recorded, attention is judged by the rounded rows") {
    Trace trace = halved(type);
    const Tensor scores = at(trace, {Probe::scores, 1}, 0);  // of keys that were not rounded
    trace.steps[0].tensors.erase(kKey);
    CHECK_FALSE(court.passes(trace, {Probe::scores, 1}, 0));
    trace.metadata.cache = DType::f32;
    CHECK(court.passes(trace, {Probe::scores, 1}, 0));
  }
}

TEST_CASE("replay: a ring drops its oldest rows, and nothing else", "[reference][replay]") {
  const Court court;
  const RingCache ring = GENERATE(RingCache{0, 5}, RingCache{5, 3}, RingCache{2, 4});
  CHECK(court.passes_everywhere(forgetting(ring)));
  const std::size_t last = 4;
  const Tensor all = whole().steps[last].tensors.at(kKey);
  const std::vector<std::int64_t> held = held_of(ring, 12);
  const auto with_rows = [&](const std::vector<std::int64_t>& rows) {
    Trace trace = forgetting(ring);
    at(trace, kKey, last) = chosen_rows(all, rows);
    return court.judged(trace, kKey, last);
  };
  CHECK(with_rows(held).verdict == Verdict::passed);

  std::vector<std::int64_t> wrong = held;  // the newest went, and one stayed that should have gone
  const auto first = static_cast<std::ptrdiff_t>(ring.kept);
  wrong.erase(wrong.end() - 3);
  wrong.insert(wrong.begin() + first, held[static_cast<std::size_t>(first)] - 1);
  CHECK(with_rows(wrong).verdict == Verdict::failed);

  wrong = held;  // one more than it has to
  wrong.erase(wrong.begin() + first);
  CHECK(with_rows(wrong).verdict == Verdict::failed);

  wrong.insert(wrong.begin() + first,
               {held[static_cast<std::size_t>(first)] - 1, held[static_cast<std::size_t>(first)]});
  CHECK(with_rows(wrong).verdict == Verdict::failed);  // one fewer

  wrong = held;  // in the order of its slots
  std::rotate(wrong.begin() + first, wrong.begin() + first + 1, wrong.end());
  CHECK(with_rows(wrong).verdict == Verdict::failed);
}

TEST_CASE("replay: positions count on over what a ring forgot; the mask counts what it holds",
          "[reference][replay]") {
  const Court court;
  Trace trace = forgetting({0, 5});
  for (TraceStep& step : trace.steps) step.given.reset();  // a foreign trace
  const OpSite positions{Probe::position_ids, -1}, mask{Probe::attention_mask, -1};
  for (std::size_t step = 0; step < trace.steps.size(); ++step) CHECK(court.passes(trace, positions, step));
  // Two queries over five keys: the first sees four.
  Tensor right(DType::boolean, {2, 5});
  for (std::size_t i = 0; i < 10; ++i) right.values<std::uint8_t>()[i] = i != 4;
  CHECK_FALSE(court.passes(trace, mask, 4));  // as it was, over all twelve
  at(trace, mask, 4) = right;
  CHECK(court.passes(trace, mask, 4));
  for (std::int64_t& position : at(trace, positions, 4).values<std::int64_t>()) position -= 5;
  CHECK_FALSE(court.passes(trace, positions, 4));
}
