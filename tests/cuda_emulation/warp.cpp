// Collectives of a warp. What lanes give and get, and which lane a shuffle reads, follows "Warp Shuffle
// Functions" and "Warp Vote Functions" of the CUDA C++ Programming Guide; what it leaves undefined is a
// mistake here.
#include <bit>

#include "tests/cuda_emulation/block.h"

namespace plumbline::cuda_emulation {
namespace {

// The lane that `lane` reads; itself where the guide says that its value stays.
int source(Collective kind, int lane, unsigned parameter, int width) {
  const int first = lane & ~(width - 1);
  const int last = first + width - 1;
  switch (kind) {
    case Collective::index:
      return first + static_cast<int>(parameter & static_cast<unsigned>(width - 1));
    case Collective::up:
      return parameter > static_cast<unsigned>(lane - first) ? lane : lane - static_cast<int>(parameter);
    case Collective::down:
      return parameter > static_cast<unsigned>(last - lane) ? lane : lane + static_cast<int>(parameter);
    default: {
      const int other = lane ^ static_cast<int>(parameter & 31u);
      return other > last ? lane : other;
    }
  }
}

}  // namespace

bool Warp::arrive(int lane, Collective kind, unsigned size, unsigned mask) {
  const unsigned bit = 1u << lane;
  runnable &= ~bit;
  int at = 0;
  while (at < gathered && !gatherings[at].is(kind, size, mask)) ++at;
  if (at == gathered) gatherings[gathered++] = {kind, size, mask, 0};
  gatherings[at].arrived |= bit;
  if (gatherings[at].arrived != mask) return false;
  gatherings[at] = gatherings[--gathered];
  runnable |= mask;
  return true;
}

const char* Warp::exchange(Collective kind, unsigned mask) {
  if (kind == Collective::syncwarp) return nullptr;
  if (kind == Collective::ballot || kind == Collective::any || kind == Collective::all) {
    vote(kind, mask);
    return nullptr;
  }
  std::array<std::uint64_t, 32> given;
  for (int lane = 0; lane < 32; ++lane) given[lane] = lanes[lane].value;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    Lane& reader = lanes[lane];
    const int from = source(kind, lane, reader.parameter, reader.width);
    if ((mask >> from & 1u) == 0) return "shuffles from a lane that is not in its mask";
    reader.value = given[from];
  }
  return nullptr;
}

void Warp::vote(Collective kind, unsigned mask) {
  unsigned set = 0;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    if (lanes[lane].value != 0) set |= 1u << lane;
  }
  const std::uint64_t result = kind == Collective::ballot ? set
                               : kind == Collective::any  ? std::uint64_t{set != 0}
                                                          : std::uint64_t{set == mask};
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) lanes[std::countr_zero(rest)].value = result;
}

}  // namespace plumbline::cuda_emulation
