// The third forward pass: Qwen2 as plain loops, written to be read, and right unless a mistake is planted.
//
// It shares nothing with reference/ and impl/. It records each probe as docs/trace-format.md has it, and pads
// the prompts of a batch at the left, as engines with a batch axis do: pads are computed and never recorded.
#pragma once

#include <optional>
#include <vector>

#include "harness/trace.h"
#include "tests/mutants/attention.h"
#include "tests/mutants/cache_forms.h"
#include "tests/mutants/format.h"
#include "tests/mutants/load.h"
#include "tests/mutants/rotary.h"

namespace plumbline::mutants {

// New tokens of the sequence in `slot` of the cache, recorded under the number `sequence`.
struct Chunk {
  SequenceId sequence = 0;
  int slot = 0;
  std::vector<TokenId> tokens;
};

// What is done with an engine, one after the other.
struct Action {
  enum class Kind { run, fork, reset };
  Kind kind = Kind::run;
  std::vector<Chunk> chunks;  // run: one forward call; new sequences of one call are padded to one length
  int from = 0, to = 0;       // fork: slots; reset: `to`
  SequenceId sequence = 0;    // fork: the number that `to` is recorded under from now on
};

// Numbers that are of this type already.
Tensor tensor_of(std::span<const float> values, Shape shape, DType dtype);

class Forward {
 public:
  Forward(const Checkpoint& checkpoint, int slots, int capacity, Mistake planted = Mistake::none,
          SumOrder order = SumOrder::sequential, const CacheForm& form = {}, const Format& format = {});
  Trace run(const std::vector<Action>& actions);

 private:
  struct Slot {
    int pads = 0;
    int highest = 0;  // length that the slot ever had
    int steps = 0;    // recorded so far
    bool second_turn = false;
  };
  void step(const Chunk& chunk, int pads);
  void fork(const Action& action);
  void prepare(const Chunk& chunk);
  void make_masks();
  bool allowed(int query, int key, bool slides) const;
  void layer(int i, Rows& x);
  Rows attention(int i, const Rows& normed, const Rows& x);
  Rows mlp(int i, const Rows& normed);
  void head(const Rows& x);
  Rows norm(const Rows& x, const std::vector<float>& weight) const;
  float stored(Probe probe, float value) const;
  void store(Probe probe, Rows& rows) const;
  Rows project(Probe probe, int layer, const Rows& x, const Linear& weights);
  Rows residual(Probe probe, int layer, const Rows& x, const Rows& added);
  void rotate_heads(Rows& rows, Mistake planted) const;
  Rows rotated_queries(int layer, const Rows& q, const Rows& normed) const;
  void rotate_cached_keys(int layer);
  std::vector<Place> places(int layer, int slot, int first, int count);
  std::vector<Place> places_beyond(int layer);

  void emit(Probe probe, int layer, Tensor tensor);
  void emit(Probe probe, int layer, const Rows& rows);
  void emit_heads(Probe probe, int layer, const Rows& rows, int heads);
  void emit_squares(Probe probe, int layer, const std::vector<Rows>& squares);
  void emit_mask(Probe probe, const Mask& mask);
  void emit_cache(int layer);
  void update_cache(int layer, const Rows& keys, const Rows& values);
  bool planted(Mistake mistake) const { return planted_ == mistake; }
  DType cache_dtype() const;

  Format format_;
  Model model_;
  const Architecture& arch_;
  Mistake planted_;
  SumOrder order_;
  KeyValueCache cache_;
  std::optional<FormedCache> formed_;  // in place of cache_, where the form is not the plain one
  HeldRows held_;                      // of formed_, in the layer that is computed
  std::vector<Slot> slots_;
  std::vector<float> frequencies_;
  Trace trace_;

  // Of the step that is being made: new rows, pads among them, keys before them.
  int slot_ = 0, rows_ = 0, new_pads_ = 0, past_ = 0, held_before_ = 0;
  std::vector<TokenId> ids_;
  std::vector<std::int64_t> positions_;
  Wave wave_;
  Rows sum_;  // the stream before it was rounded: of Mistake::stream_kept_in_f32
  Mask full_, sliding_;
};

}  // namespace plumbline::mutants
