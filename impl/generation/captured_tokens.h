// The tokens of forward() calls, as sinks that keep something of each token count them: where each came from,
// and when a call is through, so that nothing of one that throws is kept.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "harness/engine.h"

namespace plumbline::native {

struct ActivationOrigin {
  SequenceId sequence = 0;
  std::int64_t position = 0;
  TokenId token = 0;
  std::int64_t step =
      0;  // which forward() of its sequence, from 0, of those that were announced and went through
  bool operator==(const ActivationOrigin&) const = default;
};

// Rows are tokens in the order of the calls, within one that of its steps.
class CapturedTokens {
 public:
  // A step of the call under way: its rows are [first, first + tokens), and count after commit().
  struct Pending {
    std::int64_t first = 0;
    std::int64_t tokens = 0;
    std::int64_t step = 0;
    Probe last = Probe::norm;  // what the engine shows last
    bool ended = false;
  };

  void reserve(std::int64_t tokens);  // throws std::bad_alloc or std::length_error
  // Announces a call; what is pending of an earlier one is dropped.
  void begin(std::span<const SequenceStep> steps);
  const Pending* pending(SequenceId sequence) const;  // nullptr: not in the call under way
  std::size_t pending_steps() const { return pending_.size(); }
  // Whether this is the last probe of a pending step: lm_head where logits are wanted, else norm.
  bool ends(const ProbeId& id) const;
  // To be called when such a probe was shown; true once all steps have shown theirs.
  bool note_end(const ProbeId& id);
  void commit();  // the pending rows count now
  void clear();   // forgets all rows; steps are counted on

  std::int64_t rows() const { return rows_; }
  std::span<const ActivationOrigin> origins() const;  // of the rows that count
  std::span<const ActivationOrigin> pending_origins() const;

 private:
  std::vector<ActivationOrigin> origins_;  // and those pending
  std::map<SequenceId, Pending> pending_;
  std::map<SequenceId, std::int64_t> next_step_;
  std::int64_t rows_ = 0;
};

}  // namespace plumbline::native
