// Replay: one op recomputed in f64 from the inputs that the subject itself recorded. Implemented by
// reference/; judged by harness/judge.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/model.h"
#include "harness/precision.h"
#include "harness/probe.h"
#include "harness/tensor.h"

namespace plumbline {

// What a case fed into a step: discrete inputs have no replay, they must equal these.
struct GivenInputs {
  std::vector<TokenId> tokens;
  std::vector<std::int64_t> positions;
};

// Rows [begin, begin + count) of the cache before a step that are let go before the step's own come.
struct ForgottenRows {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

// The tensors of one step of one sequence, as recorded. Host views, valid while the source lives.
class RecordedStep {
 public:
  virtual ~RecordedStep() = default;
  // Null where nobody knows (a foreign trace): token ids are then taken as recorded, and positions count on
  // from tokens_before().
  virtual const GivenInputs* given() const = 0;
  // Null where the probe was not recorded. Fewer rows than tokens means the last rows.
  virtual const TensorView* find(OpSite site) const = 0;
  // The cache before this step, [past + forgotten, kv_heads, head_dim]; null for an empty cache.
  virtual const TensorView* previous_key(int layer) const = 0;
  virtual const TensorView* previous_value(int layer) const = 0;
  virtual std::int64_t past_length() const = 0;  // tokens of the cache before this step that are held on
  virtual std::int64_t tokens() const = 0;       // of this step
  virtual ForgottenRows forgotten() const { return {}; }
  // Of the sequence before this step, forgotten or not.
  virtual std::int64_t tokens_before() const { return past_length(); }
  // That keys and values are rounded to, to nearest, ties to even; none: the storage dtype.
  virtual std::optional<DType> cache_dtype() const { return std::nullopt; }
  virtual Precision precision() const { return {}; }
};

// What an op should have given.
struct Replay {
  Tensor expected;  // f64, or i64/boolean for discrete ops; the rows that the subject recorded
  // f64, same shape: the factor B of docs/tolerances.md, not yet multiplied by lambda. Empty for ops that
  // must be exact.
  Tensor bound;
  // f64, same shape; empty where there are none. What roundings within the op may cost that the engine's
  // order of operations prescribes (Rounding::each): added to the gate as it is.
  Tensor roundings;
  // f64, same shape; empty where it is not known. The output of those operations, rounded where they round:
  // an engine that rounds there differs from it in few places only.
  Tensor emulated;
  // Boolean, same shape as `expected`; empty where every place counts. False marks places that the
  // reference's own mask forbids: a weight there must be 0, a score there may be anything.
  Tensor allowed;
  // f64, same shape; empty where there is none. Another value that is right at a place, NaN where there is
  // none: a choice whose edge lies within rounding may fall either way. Taking it is a tie-flip.
  Tensor alternative;
  // Whether the tolerance's ceiling holds here: not where the contract behind it assumes an input that was
  // not recorded.
  bool ceiling_holds = true;
  // First axis: false for rows whose inputs repeat an earlier row's bit for bit (their rounding errors repeat
  // too, and would add up in a whole-tensor statistic). Empty: all distinct.
  std::vector<bool> distinct_row;
  // True when the right output does not depend on the op's varying inputs here (one key, position 0).
  bool trivial = false;
};

struct Suspect;  // harness/suspects.h

class Replayer {
 public:
  virtual ~Replayer() = default;
  virtual const ModelConfig& config() const = 0;
  virtual const std::string& weight_hash() const = 0;  // of the checkpoint it replays with

  // The sites of one forward pass, in graph order, for this checkpoint.
  virtual std::span<const OpSite> sites() const = 0;

  // Recomputes `site` from its recorded inputs; `storage` is the subject's storage dtype. When intermediate
  // probes are missing, recomputes the span from the last recorded ones. nullopt: no recorded probes lead to
  // this site, or the span has no derived bound; `why` says which in a few words.
  // Throws Error when a recorded input has the wrong shape for the checkpoint.
  virtual std::optional<Replay> replay(OpSite site, const RecordedStep& step, DType storage,
                                       std::string& why) const = 0;

  // The op class whose tolerance row judges what replay() returned for this site: the site's own, or the kind
  // of span that had to be recomputed (fused_attention).
  virtual OpClass judged_as(OpSite site, const RecordedStep& step) const = 0;

  // Known mistakes that this op may have made, the more usual first; computed when they are asked for.
  virtual std::vector<Suspect> suspects(OpSite site, const RecordedStep& step, DType storage) const;
};

}  // namespace plumbline
