// Where the rows of a cache lie: in this machine's memory, or in a device's. What a cache does is the same in
// both; all that depends on the memory is here.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "impl/cache/run.h"

namespace plumbline::native {

// Owns some bytes, and frees them.
class MemoryBlock {
 public:
  virtual ~MemoryBlock() = default;
  MemoryBlock(const MemoryBlock&) = delete;
  MemoryBlock& operator=(const MemoryBlock&) = delete;
  // An address in that memory, which need not be the host's.
  std::byte* data() const { return data_; }

 protected:
  explicit MemoryBlock(std::byte* data) : data_(data) {}

 private:
  std::byte* data_;
};

struct MemoryLimit {
  double bytes = 0.0;  // no more can be had
  std::string text;    // as a clause, for messages: "this machine has ..."
};

enum class CopyWay : std::uint8_t { within, to_host, from_host };

// Each call sees what the calls before it wrote; host memory passed to one is free again when it returns.
class CacheMemory {
 public:
  virtual ~CacheMemory() = default;

  // What the bytes hold is anything. Throws std::bad_alloc, or Error with what was wanted and what is there.
  virtual std::unique_ptr<MemoryBlock> allocate(std::size_t bytes) = 0;
  virtual void zero(std::byte* data, std::size_t bytes) = 0;
  // Whether the addresses are the host's.
  virtual bool on_host() const = 0;
  virtual MemoryLimit limit() const = 0;

  // Runs are of this memory. `rows`, on the host: [tokens, kv_heads, head_dim], contiguous, in the run's
  // dtype.
  void read_run(const RunFormat& format, const StoredRun& run, CachePart part, std::byte* rows);
  void write_run(const RunFormat& format, const StoredRun& run, CachePart part, const std::byte* rows);
  // Keys and values; as many tokens in both, which may not overlap.
  void copy_run(const RunFormat& format, const StoredRun& to, const StoredRun& from);
  // `value` in every element of keys and values.
  void fill_run(const RunFormat& format, const StoredRun& run, float value);

 private:
  // Keys or values; as many tokens in both runs.
  virtual void copy(const RunFormat& format, const StoredRun& to, const StoredRun& from, CachePart part,
                    CopyWay way) = 0;
};

// This machine's, in huge pages where it is much.
std::shared_ptr<CacheMemory> host_memory();

}  // namespace plumbline::native
