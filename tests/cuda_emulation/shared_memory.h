// The shared memory of the block whose turn it is: one array for all, since device code has one name for it.
#pragma once

#include <cstddef>
#include <vector>

namespace plumbline::cuda_emulation {

// What the array holds for any block; more than a device has.
std::size_t shared_memory_size();

// Before a kernel's first block.
void prepare_shared_memory();
// 0xFF bytes, NaN in every format of floats, for a block that begins.
void clear_shared_memory(std::size_t bytes);
// What a block left there when its turn ended, and back for its next one.
void save_shared_memory(std::vector<unsigned char>* to);
void restore_shared_memory(const std::vector<unsigned char>& from);

// From here on a block of so many bytes runs; to device code the rest of the array is forbidden.
void open_shared_memory(std::size_t bytes);
// Its turn has ended. False: it wrote beyond them.
bool close_shared_memory(std::size_t bytes);

// After a kernel's last block. False: one of them wrote far beyond its bytes.
bool release_shared_memory(std::size_t bytes);
// After a kernel that failed: nothing is left of it.
void forget_shared_memory();

}  // namespace plumbline::cuda_emulation
