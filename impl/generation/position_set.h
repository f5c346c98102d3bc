// Positions of tokens that something is to be done at: all, a range, or a list.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace plumbline::native {

class PositionSet {
 public:
  static constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();

  PositionSet() = default;  // all
  static PositionSet all() { return {}; }
  // [from, to), or from `from` on. Throws Error for a negative or empty range.
  static PositionSet range(std::int64_t from, std::int64_t to = kEnd);
  // Throws Error for none, a negative one, or one that is named twice.
  static PositionSet list(const std::vector<std::int64_t>& positions);

  // The position's number in the range or list as it was given, from 0; nullopt where it is not there.
  std::optional<std::int64_t> index_of(std::int64_t position) const;
  std::int64_t count() const;  // 0: no end
  bool overlaps(const PositionSet& other) const;

 private:
  std::int64_t from_ = 0, to_ = kEnd;
  std::vector<std::pair<std::int64_t, std::int64_t>> listed_;  // position and number, by position
};

}  // namespace plumbline::native
