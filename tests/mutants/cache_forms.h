// The cache of the third forward pass in other forms than the plain one: laid out by head, keys and values in
// one buffer, a buffer of its own for the prefill, a ring, half types. One sequence; attention reads copies
// in logical order.
#pragma once

#include <optional>
#include <vector>

#include "harness/trace.h"
#include "tests/mutants/checkpoint.h"
#include "tests/mutants/format.h"
#include "tests/mutants/mistakes.h"
#include "tests/mutants/numbers.h"

namespace plumbline::mutants {

struct CacheForm {
  bool plain = true;           // the cache of cache.h, and nothing of the rest
  std::optional<DType> dtype;  // none: the storage type
  bool by_head = false;        // [kv_heads, slots, head_dim] instead of [slots, kv_heads, head_dim]
  bool packed = false;         // keys and values of a token alternate; not by head
  int prefill = 0;             // slots of a buffer of its own for the first step
  int slots = 32;              // of the other one
  bool ring = false;           // forgets its oldest when it is full
};

// Keys or values as attention reads them, [tokens held, kv_heads * head_dim].
struct HeldRows {
  Rows keys, values;
};

class FormedCache {
 public:
  FormedCache(const Architecture& architecture, const CacheForm& form, Mistake planted, const Format& format);

  const CacheForm& form() const { return form_; }
  DType dtype() const { return dtype_; }
  int length() const { return prefill_ + count_; }  // tokens held
  int seen() const { return seen_; }                // tokens that ever came
  RingCache ring() const { return {prefill_, form_.slots}; }

  // Makes room for a step. Then, for each layer, append() its new rows, and read().
  void begin(int tokens);
  int past() const { return prefill_ + count_ - added_; }  // held beside the step's
  void append(int layer, const Rows& keys, const Rows& values);
  HeldRows read(int layer) const;

 private:
  struct Place {
    bool in_prefill;
    int slot;
  };
  enum Part { key, value };
  Place written_at(int i) const;  // the step's i-th token
  Place read_at(int index) const;
  std::size_t offset(Place place, Part part, int head, bool by_head) const;
  float stored(float value, Part part) const;
  std::vector<float>& buffer(int layer, bool prefill) {
    return (prefill ? prefills_ : others_)[static_cast<std::size_t>(layer)];
  }

  Architecture architecture_;
  CacheForm form_;
  DType dtype_;
  Mistake planted_;
  std::vector<std::vector<float>> prefills_, others_;  // by layer
  int prefill_ = 0;                                    // tokens in the buffer for it
  int start_ = 0, count_ = 0;                          // of the other buffer: oldest slot, tokens
  int added_ = 0, seen_ = 0;
};

}  // namespace plumbline::mutants
