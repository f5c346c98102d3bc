#include "harness/slot_tags.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/error.h"
#include "harness/metrics.h"

namespace plumbline {
namespace {

constexpr std::size_t kNamed = 3;  // findings that a note tells

std::string slots_text(std::int64_t first, std::int64_t last) {
  return first == last ? fmt::format("slot {} holds", first)
                       : fmt::format("slots {} to {} hold", first, last);
}

std::string_view role_name(SlotRole role) {
  return role == SlotRole::key ? "key" : "value";
}

// What no token's row is may still be known.
std::string unknown_text(const TensorView& row) {
  const Tensor values = to_f64(row);
  const auto all = values.values<double>();
  if (std::ranges::any_of(all, [](double x) { return std::isnan(x); })) return "NaN";
  return std::ranges::all_of(all, [](double x) { return x == 0; }) ? "zeros" : "no token's row";
}

}  // namespace

// One slot, or several alike that follow each other.
struct SlotTags::Finding {
  std::int64_t first = 0, last = 0;
  std::int64_t expected = 0;        // the token that the first ought to hold
  std::vector<std::int64_t> heads;  // whose rows are wrong
  std::optional<Origin> origin;     // of the first of those; none: no token's row
  bool whole = false;               // every head from the same token and owner
  std::string unknown;

  // Whether `next`, of the next slot, is the same mistake one token further on.
  bool goes_on(const Finding& next) const {
    const std::int64_t steps = next.first - first;
    if (next.first != last + 1 || heads != next.heads || whole != next.whole || unknown != next.unknown ||
        origin.has_value() != next.origin.has_value()) {
      return false;
    }
    return !origin || (origin->owner == next.origin->owner && origin->head == next.origin->head &&
                       origin->token + steps == next.origin->token);
  }
};

void SlotTags::add(const SlotOwner& owner, const TensorView& rows) {
  require(rows.shape.rank() == 3, "SlotTags: rows are [tokens, kv_heads, head_dim]");
  const auto [place, added] = rows_.emplace(owner, copy_host(rows));
  require(added, "SlotTags: an owner is added once");
  for (std::int64_t token = 0; token < rows.shape[0]; ++token) {
    for (std::int64_t head = 0; head < rows.shape[1]; ++head) {
      origins_.emplace(head_row(place->second, token, head), Origin{owner, token, head});
    }
  }
}

std::string_view SlotTags::head_row(const Tensor& rows, std::int64_t slot, std::int64_t head) const {
  const std::size_t size = static_cast<std::size_t>(rows.shape()[2]) * dtype_size(rows.dtype());
  const auto index = static_cast<std::size_t>(slot * rows.shape()[1] + head);
  return {reinterpret_cast<const char*>(rows.bytes().data()) + index * size, size};
}

// Of several owners of equal rows, the one that has most in common with what was wanted.
std::optional<SlotTags::Origin> SlotTags::origin_of(std::string_view row, const Origin& wanted) const {
  const auto likeness = [&](const Origin& o) {
    return 8 * (o.owner.role == wanted.owner.role) + 4 * (o.owner.layer == wanted.owner.layer) +
           4 * (o.owner.sequence == wanted.owner.sequence) + 2 * (o.token == wanted.token) +
           (o.head == wanted.head);
  };
  std::optional<Origin> best;
  const auto [begin, end] = origins_.equal_range(row);
  for (auto it = begin; it != end; ++it) {
    if (!best || likeness(it->second) > likeness(*best)) best = it->second;
  }
  return best;
}

SlotTags::Finding SlotTags::look(const Tensor& held, std::int64_t slot, const SlotOwner& owner,
                                 std::int64_t token) const {
  Finding finding{slot, slot, token, {}, {}, false, {}};
  const Tensor& right = rows_.at(owner);
  const std::int64_t heads = held.shape()[1];
  for (std::int64_t head = 0; head < heads; ++head) {
    const std::string_view row = head_row(held, slot, head);
    if (row == head_row(right, token, head)) continue;
    const std::optional<Origin> origin = origin_of(row, {owner, token, head});
    if (finding.heads.empty()) {
      finding.origin = origin;
      finding.whole = true;
    }
    finding.heads.push_back(head);
    finding.whole = finding.whole && origin && origin->owner == finding.origin->owner &&
                    origin->token == finding.origin->token && origin->head == head;
  }
  finding.whole = finding.whole && static_cast<std::int64_t>(finding.heads.size()) == heads;
  if (!finding.heads.empty() && !finding.origin) {
    const std::string_view row = head_row(held, slot, finding.heads[0]);
    finding.unknown = unknown_text(TensorView(row.data(), held.dtype(), {held.shape()[2]}));
  }
  return finding;
}

// "slot 7 holds token 6's key of layer 2", "slots 3 to 9 hold the keys of tokens 2 to 8",
// "slot 4 holds zeros in head 1".
std::string SlotTags::words(const Finding& finding, const SlotOwner& owner) const {
  std::string text = slots_text(finding.first, finding.last) + " ";
  if (!finding.origin) {
    text += finding.unknown;
  } else {
    const std::int64_t token = finding.origin->token, last = token + finding.last - finding.first;
    const std::string_view role = role_name(finding.origin->owner.role);
    text += token == last ? fmt::format("token {}'s {}", token, role)
                          : fmt::format("the {}s of tokens {} to {}", role, token, last);
    if (finding.origin->owner.sequence != owner.sequence)
      text += fmt::format(" of sequence {}", finding.origin->owner.sequence);
    if (finding.origin->owner.layer != owner.layer)
      text += fmt::format(" of layer {}", finding.origin->owner.layer);
  }
  if (finding.whole) return text;
  const auto all = static_cast<std::size_t>(rows_.at(owner).shape()[1]);
  if (finding.heads.size() < all || finding.origin) {
    if (finding.origin && finding.origin->head != finding.heads[0])
      text += fmt::format(" of head {}", finding.origin->head);
    text += fmt::format(" in head {}", finding.heads[0]);
    if (finding.heads.size() > 1)
      text += fmt::format(" ({} of {} heads are wrong)", finding.heads.size(), all);
  }
  return text;
}

Check SlotTags::check(std::string subject, const SlotOwner& owner, const TensorView& held,
                      std::optional<std::span<const std::int64_t>> tokens) const {
  const auto found = rows_.find(owner);
  require(found != rows_.end(), "SlotTags: no rows of this owner were added");
  const Tensor& right = found->second;
  const std::string what =
      site_name({owner.role == SlotRole::key ? Probe::past_key : Probe::past_value, owner.layer}) +
      " by slot";
  const std::string metric = "slots with other rows";
  const auto fail = [&](std::string note) {
    Check check = check_at_most(what, std::move(subject), metric, std::numeric_limits<double>::infinity(), 0);
    check.note = std::move(note);
    return check;
  };
  if (held.shape.rank() != 3 || held.shape[1] != right.shape()[1] || held.shape[2] != right.shape()[2] ||
      held.dtype != right.dtype()) {
    return fail(fmt::format("holds {} {}, and ought to hold rows as in {} {}", held.shape.to_string(),
                            dtype_name(held.dtype), right.shape().to_string(), dtype_name(right.dtype())));
  }
  const std::int64_t wanted = tokens ? static_cast<std::int64_t>(tokens->size()) : right.shape()[0];
  const std::int64_t there = held.shape[0];
  if (wanted == 0) return fail("no slot is expected: nothing was compared");

  const Tensor slots = copy_host(held);
  std::vector<Finding> findings;
  std::int64_t wrong = std::abs(wanted - there);
  for (std::int64_t slot = 0; slot < std::min(wanted, there); ++slot) {
    const std::int64_t token = tokens ? (*tokens)[static_cast<std::size_t>(slot)] : slot;
    require(token >= 0 && token < right.shape()[0], "SlotTags: a token without a row");
    Finding finding = look(slots, slot, owner, token);
    if (finding.heads.empty()) continue;
    ++wrong;
    if (!findings.empty() && findings.back().goes_on(finding)) {
      findings.back().last = slot;
    } else {
      findings.push_back(std::move(finding));
    }
  }
  Check check = check_at_most(what, std::move(subject), metric, static_cast<double>(wrong), 0);
  std::vector<std::string> told;
  if (there != wanted) told.push_back(fmt::format("{} slots, not {}", there, wanted));
  for (std::size_t i = 0; i < std::min(kNamed, findings.size()); ++i)
    told.push_back(words(findings[i], owner));
  if (findings.size() > kNamed) told.push_back(fmt::format("{} more places", findings.size() - kNamed));
  check.note = fmt::format("{}", fmt::join(told, "; "));
  return check;
}

}  // namespace plumbline
