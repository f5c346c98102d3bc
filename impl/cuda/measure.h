// What the device reaches by itself, timed by its own events: the limits that bench/cuda_bench holds the
// engine against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace plumbline::native::cuda {

// Something that the device does again and again. Its memory is its own, on device 0.
class DeviceWork {
 public:
  virtual ~DeviceWork() = default;
  // Of one time, between two events on a stream on which nothing else runs. Throws Error, as CUDA calls fail.
  virtual double seconds() = 0;
};

// A copy of so many bytes from one place of the device's memory to another, by cudaMemcpyAsync: so many bytes
// are read and as many written. Throws Error for too little memory, and in a build without CUDA.
std::unique_ptr<DeviceWork> make_copy_work(std::size_t bytes);

// One product by cuBLASLt alone (impl/cuda/matmul_library.h), bf16 without a bias, of random numbers: 2 *
// rows * outs
// * depth operations. Null where the build or the machine has no cuBLASLt, or for sizes that it does not
// take.
std::unique_ptr<DeviceWork> make_matmul_work(std::int64_t outs, std::int64_t depth, std::int64_t rows);

}  // namespace plumbline::native::cuda
