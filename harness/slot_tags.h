// Says in words what a wrong key-value cache holds: every row that belongs into some cache is a tag, found
// again wherever it turns up ("slot 7 holds token 6's key", "… of sequence 1", "… of layer 2").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "harness/engine.h"
#include "harness/report.h"

namespace plumbline {

enum class SlotRole : std::uint8_t { key, value };

// One layer's keys or values of one sequence.
struct SlotOwner {
  SlotRole role = SlotRole::key;
  SequenceId sequence = 0;
  int layer = 0;
  auto operator<=>(const SlotOwner&) const = default;
};

class SlotTags {
 public:
  SlotTags() = default;
  SlotTags(SlotTags&&) = default;  // a copy's tags would point into the original
  SlotTags& operator=(SlotTags&&) = default;

  // The rows of tokens 0, 1, …, [tokens, kv_heads, head_dim], of the dtype that the cache stores; the same
  // shape but for the tokens at each call. Rows that are equal bit for bit cannot be told apart: feed tokens
  // that differ.
  void add(const SlotOwner& owner, const TensorView& rows);

  // `held` are the cache's slots in logical order, [slots, kv_heads, head_dim]. Slot i must hold the row of
  // tokens[i]; of token i where `tokens` is not given, and then all that were added must be there. Measured:
  // slots that hold something else, are missing or too many. The note names the first of them. No slot at all
  // proves nothing, and fails. Throws InternalError for an owner or a token that was not added.
  Check check(std::string subject, const SlotOwner& owner, const TensorView& held,
              std::optional<std::span<const std::int64_t>> tokens = {}) const;

 private:
  struct Origin {
    SlotOwner owner;
    std::int64_t token = 0;
    std::int64_t head = 0;
    bool operator==(const Origin&) const = default;
  };
  struct Finding;

  std::string_view head_row(const Tensor& rows, std::int64_t slot, std::int64_t head) const;
  std::optional<Origin> origin_of(std::string_view row, const Origin& wanted) const;
  Finding look(const Tensor& held, std::int64_t slot, const SlotOwner& owner, std::int64_t token) const;
  std::string words(const Finding& finding, const SlotOwner& owner) const;

  std::map<SlotOwner, Tensor> rows_;
  std::unordered_multimap<std::string_view, Origin> origins_;  // by a head's bytes, which rows_ keeps
};

}  // namespace plumbline
