// Keys and values of the third forward pass: per layer one area of [buffers][capacity][kv_heads * head_dim].
// Free places hold numbers, not zeros, so that whoever reads one is noticed.
#pragma once

#include <vector>

#include "tests/mutants/checkpoint.h"
#include "tests/mutants/format.h"
#include "tests/mutants/mistakes.h"
#include "tests/mutants/numbers.h"

namespace plumbline::mutants {

class KeyValueCache {
 public:
  KeyValueCache(const Architecture& architecture, int slots, int capacity, Mistake planted,
                const Format& format);

  int length(int slot) const { return lengths_[static_cast<std::size_t>(slot)]; }
  int capacity() const { return capacity_; }
  // Keys and values of `count` new tokens, [count, kv_heads * head_dim], after the first `length(slot)`.
  void append(int layer, int slot, const Rows& keys, const Rows& values);
  void commit(int slot, int count);  // after the last layer: the new tokens count
  float* key(int layer, int slot, int index) { return place(keys_, layer, slot, index); }
  float* value(int layer, int slot, int index) { return place(values_, layer, slot, index); }
  int kv_heads() const { return kv_heads_; }
  int head_dim() const { return head_dim_; }

  void fork(int from, int to);  // `to` becomes a copy of `from`
  void reset(int slot);
  void reserve(int length);  // makes room, if need be

 private:
  using Areas = std::vector<std::vector<float>>;  // by layer
  std::size_t offset(int slot, int index) const;
  std::size_t write_offset(int slot, int index) const;
  float* place(Areas& areas, int layer, int slot, int index);
  void write(Areas& areas, int layer, int slot, int first, const Rows& rows);

  int kv_heads_, head_dim_, capacity_;
  Mistake planted_;
  Format format_;
  std::vector<int> lengths_;    // by slot
  std::vector<int> buffer_of_;  // by slot
  Areas keys_, values_;
};

}  // namespace plumbline::mutants
