// The memory of a cache: blocks of token slots. Here, and nowhere else, layout and packing become addresses.
#pragma once

#include <memory>

#include "harness/engine.h"
#include "impl/cache/memory.h"

namespace plumbline::native {

// Each block has `slots` slots for the keys and values of one layer of one sequence. The elements of a block,
// by layout: in each of two buffers; with both parts in one, interleaved; concatenated.
//   sequence_heads: [slots, heads, dim]; [slots, heads, 2, dim]; [2, slots, heads, dim]
//   heads_sequence: [heads, slots, dim]; [heads, slots, 2, dim]; [2, heads, slots, dim]
//   sequence_flat: [slots, row]; [slots, 2, row]; [2, slots, row]
// where row = heads * dim. Unless interleaved, sequence_flat has the addresses of sequence_heads.
class CacheBlocks {
 public:
  // What the slots hold is anything. Throws as CacheMemory::allocate does; the memory lives as long as this.
  CacheBlocks(CacheMemory& memory, const CacheSpec& spec, const CacheShape& shape, std::int64_t blocks,
              std::int64_t slots);

  std::int64_t slots() const { return slots_; }
  // Slots [slot, slot + tokens) of a block.
  StoredRun run(std::int64_t block, std::int64_t slot, std::int64_t tokens) const;
  std::int64_t bytes() const { return static_cast<std::int64_t>(values_ ? 2 * bytes_ : bytes_); }
  // Writes zeros, so that the memory is there before the first token.
  void zero(CacheMemory& memory);

 private:
  std::int64_t slots_ = 0;
  std::int64_t token_stride_ = 0;  // elements
  std::int64_t head_stride_ = 0;
  std::int64_t block_stride_ = 0;
  std::int64_t value_offset_ = 0;        // from a key to its value, where they share a buffer
  std::size_t element_ = 0;              // bytes
  std::size_t bytes_ = 0;                // of each buffer
  std::unique_ptr<MemoryBlock> keys_;    // and the values, unless they are separate
  std::unique_ptr<MemoryBlock> values_;  // none unless separate
};

}  // namespace plumbline::native
