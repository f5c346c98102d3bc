#include "impl/cuda/step_tables.h"

#include <cuda_runtime_api.h>

namespace plumbline::native::cuda {
namespace {

// Hands out places one after the other, each aligned for any element.
class Places {
 public:
  explicit Places(const void* base) : base_(reinterpret_cast<std::uintptr_t>(base)) {}
  template <typename T>
  T* take(std::int64_t count) {
    constexpr std::size_t kAlignment = 16;
    const std::uintptr_t at = base_ + used_;
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T*>(at);
  }
  std::size_t used() const { return used_; }

 private:
  std::uintptr_t base_;
  std::size_t used_ = 0;
};

struct Layout {
  Tables tables;
  std::size_t bytes;
};

// `base` may be null: then only the size is of use.
Layout lay_out(const TableSizes& sizes, const void* base) {
  Places places(base);
  Tables tables;
  tables.tokens = places.take<std::int32_t>(sizes.rows);
  tables.positions = places.take<std::int64_t>(sizes.rows);
  tables.step_of_row = places.take<std::int32_t>(sizes.rows);
  tables.logit_rows = places.take<std::int64_t>(sizes.logit_rows);
  tables.inv_freq = places.take<float>(sizes.steps * sizes.pairs);
  tables.steps = places.take<StepEntry>(sizes.steps);
  tables.runs = places.take<StepRuns>(sizes.layers * sizes.steps);
  tables.tiles = places.take<QueryTile>(sizes.tiles);
  return {tables, places.used()};
}

}  // namespace

StepTables::StepTables() {
  for (Staging& staging : staging_) {
    check(cudaEventCreateWithFlags(&staging.copied, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
}

StepTables::~StepTables() {
  for (const Staging& staging : staging_) {
    // A copy may still read the staging memory that goes now.
    static_cast<void>(cudaEventSynchronize(staging.copied));
    static_cast<void>(cudaEventDestroy(staging.copied));
  }
}

Tables StepTables::host(const TableSizes& sizes) {
  sizes_ = sizes;
  current_ = 1 - current_;
  Staging& staging = staging_[current_];
  if (cudaEventQuery(staging.copied) == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());
    check(cudaEventSynchronize(staging.copied), "cudaEventSynchronize");
  }
  staging.memory.reserve(lay_out(sizes, nullptr).bytes);
  return lay_out(sizes, staging.memory.data()).tables;
}

void StepTables::fill(const Tables& host, const Batch& batch) {
  std::int64_t logit_row = 0;
  for (std::size_t i = 0; i < batch.steps.size(); ++i) {
    const BatchStep& step = batch.steps[i];
    host.steps[i] = {step.first_row, step.rows, step.past};
    for (std::int64_t row = 0; row < step.rows; ++row) {
      const std::int64_t at = step.first_row + row;
      host.tokens[at] = step.tokens[static_cast<std::size_t>(row)];
      host.positions[at] = step.positions[static_cast<std::size_t>(row)];
      host.step_of_row[at] = static_cast<std::int32_t>(i);
    }
    for (std::int64_t row = step.rows - step.logit_rows; row < step.rows; ++row) {
      host.logit_rows[logit_row++] = step.first_row + row;
    }
  }
}

bool StepTables::upload(Stream stream) {
  Staging& staging = staging_[current_];
  const std::size_t bytes = lay_out(sizes_, nullptr).bytes;
  const bool moved = device_.reserve(bytes, "a step's tables");
  check(cudaMemcpyAsync(device_.data(), staging.memory.data(), bytes, cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync of a step's tables");
  check(cudaEventRecord(staging.copied, stream), "cudaEventRecord");
  return moved;
}

Tables StepTables::device() const {
  return lay_out(sizes_, device_.data()).tables;
}

}  // namespace plumbline::native::cuda
