// A cache in the host's memory and one in the device's, and the same operations on both.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "impl/cache.h"
#include "impl/cuda/cache_memory.h"
#include "impl/cuda/memory.h"
#include "impl/half.h"
#include "tests/impl/cache_support.h"
#include "tests/impl/support.h"

namespace plumbline::native::cuda::testing {

using namespace native::testing;
inline constexpr auto kParts = {CachePart::key, CachePart::value};

class Both {
 public:
  Both(const CacheSpec& spec, const CacheShape& shape)
      : memory_(make_cache_memory(stream_.get())),
        on_host_(make_native_cache(spec, shape, 1)),
        on_device_(make_native_cache(spec, shape, 1, memory_)) {}

  NativeCache& host() { return *on_host_; }
  NativeCache& device() { return *on_device_; }

  // Whether both took it, or both refused it in the same words; `done`: took it.
  template <typename Body>
  bool agree(Body body, bool* done = nullptr) {
    const std::string error = error_of([&] { body(*on_host_); });
    if (done != nullptr) *done = error.empty();
    return error_of([&] { body(*on_device_); }) == error;
  }

  bool same() {
    const CacheShape& shape = on_host_->shape();
    bool same = on_host_->bytes() == on_device_->bytes();
    for (SequenceId sequence = 0; sequence < on_host_->spec().max_sequences; ++sequence) {
      same = same && on_host_->length(sequence) == on_device_->length(sequence);
      for (int layer = 0; layer < shape.layers; ++layer) {
        same = same &&
               same_bytes(on_host_->read_key(layer, sequence), on_device_->read_key(layer, sequence)) &&
               same_bytes(on_host_->read_value(layer, sequence), on_device_->read_value(layer, sequence));
      }
    }
    return same;
  }

  // A forward pass as engines make them, over sequences 0 and 2: on the host append(), on the device rows
  // written where pending_room() says; `changes`: what a sink writes. Whether both saw the same.
  bool step(const std::vector<CacheGrowth>& growth, int token, bool changes, bool commits) {
    CacheTransaction at_host(*on_host_, growth), at_device(*on_device_, growth);
    bool same = true;
    for (int layer = 0; layer < on_host_->shape().layers; ++layer) {
      for (const CacheGrowth& each : growth) same = add(layer, each, token++, changes) && same;
    }
    if (commits) {
      at_host.commit();
      at_device.commit();
    }
    return same;
  }

 private:
  RunFormat format() const {
    return {on_host_->spec().dtype, on_host_->shape().kv_heads, on_host_->shape().head_dim};
  }

  bool add(int layer, const CacheGrowth& growth, int token, bool changes) {
    const auto count = static_cast<std::size_t>(growth.tokens * format().row());
    const std::vector<float> keys = random_floats(count, static_cast<unsigned>(2 * token));
    const std::vector<float> values = random_floats(count, static_cast<unsigned>(2 * token + 1));
    on_host_->append(layer, growth.sequence, keys.data(), values.data());
    const RunList<StoredRun> room = on_device_->pending_room(layer, growth.sequence);
    write(room, CachePart::key, keys);
    write(room, CachePart::value, values);
    bool same = true;
    for (const CachePart part : kParts) {
      Tensor rows = on_host_->read_pending(layer, growth.sequence, part);
      same = same && same_bytes(rows, on_device_->read_pending(layer, growth.sequence, part)) &&
             same_bytes(rows, gathered(on_device_->pending_runs(layer, growth.sequence), part));
      if (!changes) continue;
      std::ranges::reverse(rows.values<std::byte>());
      on_host_->replace_pending(layer, growth.sequence, part, rows);
      on_device_->replace_pending(layer, growth.sequence, part, rows);
      same = same && same_bytes(rows, on_device_->read_pending(layer, growth.sequence, part));
    }
    return same;
  }

  void write(const RunList<StoredRun>& room, CachePart part, const std::vector<float>& rows) {
    const std::size_t bytes = rows.size() * dtype_size(format().dtype);
    staging_.reserve(bytes);
    narrow(format().dtype, rows.data(), static_cast<std::int64_t>(rows.size()), staging_.data());
    const std::byte* from = staging_.data();
    for (const StoredRun& run : room) {
      memory_->write_run(format(), run, part, from);
      from += bytes_of(run);
    }
    // What was passed may be used again at once, pinned memory too, which CUDA stages nowhere.
    std::fill_n(staging_.data(), bytes, std::byte{0x77});
  }

  Tensor gathered(const RunList<StoredRun>& runs, CachePart part) {
    std::int64_t tokens = 0;
    for (const StoredRun& run : runs) tokens += run.tokens;
    Tensor rows(format().dtype, {tokens, format().kv_heads, format().head_dim});
    staging_.reserve(rows.bytes().size());
    std::byte* to = staging_.data();
    for (const StoredRun& run : runs) {
      memory_->read_run(format(), run, part, to);
      to += bytes_of(run);
    }
    std::copy(staging_.data(), to, rows.values<std::byte>().data());
    return rows;
  }

  std::size_t bytes_of(const StoredRun& run) const {
    return static_cast<std::size_t>(run.tokens * format().row()) * dtype_size(format().dtype);
  }

  StreamOwner stream_;
  std::shared_ptr<CacheMemory> memory_;
  std::unique_ptr<NativeCache> on_host_, on_device_;
  PinnedBuffer staging_;
};

}  // namespace plumbline::native::cuda::testing
