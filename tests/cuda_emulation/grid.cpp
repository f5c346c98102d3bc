#include "tests/cuda_emulation/grid.h"

#include "tests/cuda_emulation/emulation.h"
#include "tests/cuda_emulation/order.h"
#include "tests/cuda_emulation/shared_memory.h"

namespace plumbline::cuda_emulation {
namespace {

// Made once and used by one grid after the other; the program's, as fibers are.
Block* resident_block(std::uint64_t number) {
  static auto* const blocks = new std::vector<Block*>;
  while (blocks->size() <= number) blocks->push_back(new Block);
  return (*blocks)[number];
}

}  // namespace

std::uint64_t number_of_blocks() {
  return std::uint64_t{gridDim.x} * gridDim.y * gridDim.z;
}

uint3 block_index(std::uint64_t number) {
  const std::uint64_t layer = std::uint64_t{gridDim.x} * gridDim.y;
  return {static_cast<unsigned>(number % gridDim.x), static_cast<unsigned>(number % layer / gridDim.x),
          static_cast<unsigned>(number / layer)};
}

std::string wrote_beyond(std::size_t shared_bytes) {
  return " wrote beyond its " + std::to_string(shared_bytes) + " bytes of shared memory";
}

Grid::Grid(const std::function<void()>& kernel, dim3 block_dimensions, std::size_t shared_bytes)
    : shared_bytes_(shared_bytes) {
  for (std::uint64_t number = 0; number < number_of_blocks(); ++number) {
    Block* block = resident_block(number);
    block->start(kernel, block_dimensions, number, this);
    residents_.push_back({block, block_index(number), false, {}});
    residents_.back().shared.assign(shared_bytes, 0xFF);  // NaN in every format of floats
    ++counters().blocks_run;
  }
}

void Grid::arrive() {
  if (++arrived_ < residents_.size()) return;
  arrived_ = 0;
  ++phase_;
}

bool Grid::can_run(const Resident& resident) const {
  return !resident.ended && !(resident.block->waits() && resident.block->phase() == phase_);
}

bool Grid::run() {
  const std::uint64_t count = residents_.size();
  std::uint64_t ended = 0;
  for (std::uint64_t round = 0; ended < count; ++round) {
    bool any = false;
    for (std::uint64_t index = 0; index < count; ++index) {
      Resident& resident = residents_[block_at(index, count, round)];
      if (!can_run(resident)) continue;
      any = true;
      if (!run_turn(&resident)) return false;
      // Who gave its turn away when it arrived goes through: others may still be between arriving and
      // waiting.
      if (resident.block->paused_at_arrival() && resident.block->waits() && can_run(resident)) {
        if (!run_turn(&resident)) return false;
      }
      if (resident.ended) ++ended;
    }
    if (!any) return stop("the grid's barrier is not reached by all blocks: " + waiting());
  }
  return true;
}

bool Grid::run_turn(Resident* resident) {
  blockIdx = resident->index;
  restore_shared_memory(resident->shared);
  open_shared_memory(shared_bytes_);
  const Block::State state = resident->block->run();
  const bool kept_within = close_shared_memory(shared_bytes_);
  save_shared_memory(&resident->shared);
  resident->ended = state == Block::State::ended;
  const std::string name = "block " + place(resident->index);
  if (state == Block::State::failed) return stop(name + ": " + resident->block->failure());
  return kept_within || stop(name + wrote_beyond(shared_bytes_));
}

bool Grid::stop(const std::string& why) {
  failure_ = why;
  for (Resident& resident : residents_) resident.block->abandon();
  return false;
}

std::string Grid::waiting() const {
  std::uint64_t ended = 0;
  const Resident* waits = nullptr;
  const Resident* returned = nullptr;
  for (const Resident& resident : residents_) {
    ended += resident.ended ? 1 : 0;
    const Resident*& example = resident.ended ? returned : waits;
    if (example == nullptr) example = &resident;
  }
  std::string examples;
  if (waits != nullptr) examples += "; block " + place(waits->index) + " waits there";
  if (returned != nullptr) examples += "; block " + place(returned->index) + " has returned";
  return "of " + std::to_string(residents_.size()) + " blocks " + std::to_string(residents_.size() - ended) +
         " wait there, " + std::to_string(ended) + " have returned" + examples;
}

}  // namespace plumbline::cuda_emulation
