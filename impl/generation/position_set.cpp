#include "impl/generation/position_set.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

constexpr const char* kWhere = "positions";

}  // namespace

PositionSet PositionSet::range(std::int64_t from, std::int64_t to) {
  if (from < 0 || to <= from) throw Error(fmt::format("[{}, {}) is no range of positions", from, to), kWhere);
  PositionSet made;
  made.from_ = from;
  made.to_ = to;
  return made;
}

PositionSet PositionSet::list(const std::vector<std::int64_t>& positions) {
  if (positions.empty()) throw Error("the list is empty", kWhere);
  PositionSet made;
  for (const std::int64_t position : positions) {
    if (position < 0) throw Error(fmt::format("{} is negative", position), kWhere);
    made.listed_.emplace_back(position, static_cast<std::int64_t>(made.listed_.size()));
  }
  std::sort(made.listed_.begin(), made.listed_.end());
  const auto twice = std::adjacent_find(made.listed_.begin(), made.listed_.end(),
                                        [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != made.listed_.end()) throw Error(fmt::format("{} is named twice", twice->first), kWhere);
  return made;
}

std::optional<std::int64_t> PositionSet::index_of(std::int64_t position) const {
  if (listed_.empty()) {
    if (position < from_ || position >= to_) return std::nullopt;
    return position - from_;
  }
  const auto found = std::lower_bound(listed_.begin(), listed_.end(), std::pair(position, std::int64_t{0}));
  if (found == listed_.end() || found->first != position) return std::nullopt;
  return found->second;
}

std::int64_t PositionSet::count() const {
  if (!listed_.empty()) return static_cast<std::int64_t>(listed_.size());
  return to_ == kEnd ? 0 : to_ - from_;
}

bool PositionSet::overlaps(const PositionSet& other) const {
  if (listed_.empty() && other.listed_.empty()) return from_ < other.to_ && other.from_ < to_;
  const PositionSet& list = listed_.empty() ? other : *this;
  const PositionSet& set = listed_.empty() ? *this : other;
  return std::any_of(list.listed_.begin(), list.listed_.end(),
                     [&](const auto& each) { return set.index_of(each.first).has_value(); });
}

}  // namespace plumbline::native
