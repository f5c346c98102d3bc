// Makes the tables of impl/cuda/step_table.h for one forward call and brings them to the device in one copy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "impl/batch.h"
#include "impl/cuda/memory.h"
#include "impl/cuda/step_table.h"

struct CUevent_st;

namespace plumbline::native::cuda {

// How many entries each table has.
struct TableSizes {
  std::int64_t rows = 0;
  std::int64_t logit_rows = 0;
  std::int64_t steps = 0;
  std::int64_t layers = 0;
  std::int64_t tiles = 0;
  std::int64_t pairs = 0;  // rotary
  bool operator==(const TableSizes&) const = default;
};

// Addresses of the tables: all on the host, or all on the device.
struct Tables {
  std::int32_t* tokens = nullptr;       // [rows]
  std::int64_t* positions = nullptr;    // [rows]
  std::int32_t* step_of_row = nullptr;  // [rows]
  std::int64_t* logit_rows = nullptr;   // [logit_rows]: rows of the activations
  float* inv_freq = nullptr;            // [steps, pairs]
  StepEntry* steps = nullptr;           // [steps]
  StepRuns* runs = nullptr;             // [layers, steps]
  QueryTile* tiles = nullptr;           // [tiles]
};

class StepTables {
 public:
  StepTables();
  ~StepTables();
  StepTables(const StepTables&) = delete;
  StepTables& operator=(const StepTables&) = delete;

  // Tables of these sizes on the host, to be filled; good until the next call. Waits for an earlier copy only
  // where the device is two forward calls behind.
  Tables host(const TableSizes& sizes);
  // Rows, steps and tokens of a batch.
  static void fill(const Tables& host, const Batch& batch);
  // Queues the copy of what host() gave. Whether the device's tables have other addresses than before.
  bool upload(Stream stream);
  Tables device() const;

 private:
  struct Staging {
    PinnedBuffer memory;
    CUevent_st* copied = nullptr;
  };
  std::array<Staging, 2> staging_;
  std::size_t current_ = 0;
  TableSizes sizes_;
  DeviceBuffer device_;
};

}  // namespace plumbline::native::cuda
