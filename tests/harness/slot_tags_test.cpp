#include "harness/slot_tags.h"

#include <limits>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "harness/trace.h"

using namespace plumbline;

namespace {

constexpr std::int64_t kTokens = 6, kHeads = 2, kDim = 3;

// Rows that no other owner has.
Tensor rows_of(const SlotOwner& owner) {
  Tensor rows(DType::f32, {kTokens, kHeads, kDim});
  const int base = (owner.role == SlotRole::key ? 1 : 2) * 10000 + owner.sequence * 1000 + owner.layer * 100;
  int i = base;
  for (float& value : rows.values<float>()) value = static_cast<float>(++i) * 0.5f;
  return rows;
}

const SlotOwner kOwn{SlotRole::key, 0, 1};
const SlotOwner kValues{SlotRole::value, 0, 1}, kOtherSequence{SlotRole::key, 1, 1},
    kOtherLayer{SlotRole::key, 0, 2};

SlotTags all_tags() {
  SlotTags tags;
  for (const SlotOwner& owner : {kOwn, kValues, kOtherSequence, kOtherLayer})
    tags.add(owner, rows_of(owner).view());
  return tags;
}

// `count` slots from `from` on hold `source`'s rows from `first` on.
void put(Tensor& rows, std::int64_t from, std::int64_t count, const Tensor& source, std::int64_t first) {
  for (std::int64_t i = 0; i < count * kHeads * kDim; ++i) {
    rows.values<float>()[static_cast<std::size_t>(from * kHeads * kDim + i)] =
        source.values<float>()[static_cast<std::size_t>(first * kHeads * kDim + i)];
  }
}

Check checked(const Tensor& held) {
  return all_tags().check("test", kOwn, held.view());
}

void fails_with(const Check& check, double slots, const std::string& note) {
  CHECK(check.verdict == Verdict::failed);
  CHECK(check.measured == slots);
  CHECK(check.note == note);
}

}  // namespace

TEST_CASE("slot tags: a right cache passes, and names the site") {
  const Check check = checked(rows_of(kOwn));
  CHECK(check.verdict == Verdict::passed);
  CHECK(check.measured == 0);
  CHECK(check.note.empty());
  CHECK(check.what == "past_key_values.1.key by slot");
}

TEST_CASE("slot tags: shifted, swapped and repeated slots are named by their tokens") {
  const Tensor right = rows_of(kOwn);
  Tensor held = right;
  put(held, 1, 5, right, 0);
  fails_with(checked(held), 5, "slots 1 to 5 hold the keys of tokens 0 to 4");
  held = right;
  put(held, 3, 1, right, 2);
  fails_with(checked(held), 1, "slot 3 holds token 2's key");
  held = right;
  put(held, 0, 1, right, 4);
  put(held, 4, 1, right, 0);
  fails_with(checked(held), 2, "slot 0 holds token 4's key; slot 4 holds token 0's key");
}

TEST_CASE("slot tags: foreign rows are named by sequence, layer and role") {
  Tensor held = rows_of(kOwn);
  put(held, 2, 1, rows_of(kOtherSequence), 2);
  fails_with(checked(held), 1, "slot 2 holds token 2's key of sequence 1");
  held = rows_of(kOwn);
  put(held, 4, 2, rows_of(kOtherLayer), 4);
  fails_with(checked(held), 2, "slots 4 to 5 hold the keys of tokens 4 to 5 of layer 2");
  held = rows_of(kOwn);
  put(held, 5, 1, rows_of(kValues), 5);
  fails_with(checked(held), 1, "slot 5 holds token 5's value");
}

TEST_CASE("slot tags: heads are told apart, and what belongs to nobody is said") {
  const Tensor right = rows_of(kOwn);
  Tensor held = right;
  const auto values = held.values<float>();
  std::swap_ranges(values.begin(), values.begin() + kDim, values.begin() + kDim);
  fails_with(checked(held), 1, "slot 0 holds token 0's key of head 1 in head 0 (2 of 2 heads are wrong)");
  held = right;
  std::fill_n(held.values<float>().begin() + 3 * kHeads * kDim, kHeads * kDim, 0.0f);
  fails_with(checked(held), 1, "slot 3 holds zeros");
  held = right;
  held.values<float>()[kHeads * kDim + kDim] = std::numeric_limits<float>::quiet_NaN();
  fails_with(checked(held), 1, "slot 1 holds NaN in head 1");
  held = right;
  held.values<float>()[0] += 0.25f;
  fails_with(checked(held), 1, "slot 0 holds no token's row in head 0");
}

TEST_CASE("slot tags: slots that are missing or too many, of another dtype or shape, fail") {
  const Tensor right = rows_of(kOwn);
  fails_with(all_tags().check("test", kOwn, right.view().rows(0, 4)), 2, "4 slots, not 6");
  const std::vector<std::int64_t> four{0, 1, 2, 3};
  fails_with(all_tags().check("test", kOwn, right.view(), four), 2, "6 slots, not 4");
  CHECK(all_tags().check("test", kOwn, Tensor(DType::bf16, right.shape()).view()).verdict == Verdict::failed);
  CHECK(all_tags().check("test", kOwn, Tensor(DType::f32, {kTokens, kDim, kHeads}).view()).verdict ==
        Verdict::failed);
  CHECK(all_tags().check("test", kOwn, right.view().rows(0, 0), std::span<const std::int64_t>{}).verdict ==
        Verdict::failed);
}

TEST_CASE("slot tags: a ring's slots are held to the tokens that it ought to have kept") {
  const Tensor right = rows_of(kOwn);
  Tensor held(DType::f32, {4, kHeads, kDim});
  put(held, 0, 2, right, 0);
  put(held, 2, 2, right, 4);
  const std::vector<std::int64_t> kept{0, 1, 4, 5};
  CHECK(all_tags().check("test", kOwn, held.view(), kept).verdict == Verdict::passed);
  put(held, 2, 1, right, 2);
  fails_with(all_tags().check("test", kOwn, held.view(), kept), 1, "slot 2 holds token 2's key");
  CHECK_THROWS_AS(all_tags().check("test", {SlotRole::key, 5, 0}, held.view()), InternalError);
}
