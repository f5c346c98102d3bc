// A device for LibTorch on a machine without one: PrivateUse1, which LibTorch leaves to others. Linking it is
// enough.
// - Ops run with the CPU's kernels, on memory that a device tensor's pointer does not name: who reads it on
// the
//   host ends by SIGSEGV.
// - An op with a tensor of the host beside the device's is refused, as on a GPU; but for copies and for
// single
//   numbers. (LibTorch's own device without data, `meta`, lets matmul, linear and embedding pass with both.)
// - New memory holds 0xFF bytes: NaN.
#pragma once

#include <cstddef>
#include <cstdint>

namespace plumbline::test {

struct StandInCounts {
  std::int64_t ops = 0;      // that ran there
  std::int64_t to_host = 0;  // copies
};
StandInCounts& stand_in_counts();

// Bytes that one allocation may have; 0: as many as there are.
void limit_stand_in(std::size_t bytes);

}  // namespace plumbline::test
