// cuBLASLt for prefill in bf16: many rows at once, on tensor cores. f32 is never sent there: its own kernels
// keep true f32 and one order of sums. matmul_library_absent.cpp is the class of a build without cuBLASLt.
//
// ORDER OF SUMS: the library's, which may differ from one number of rows to another. For one number of rows
// it is fixed: the algorithm is chosen from (outs, depth, rows, bias or none) alone, never from addresses or
// from what else runs, no sum is split among blocks of threads (reduction scheme "none": one sequence,
// accumulated in f32), and the workspace is this object's own. So the same step has the same bits in each run
// of one build on one kind of device, alone or in a batch, as long as each step of a batch is a call of its
// own. cuBLAS's guide, "Results reproducibility", says so of calls with a workspace of the caller's.
//
// ROUNDINGS: once, of the f32 sum with its bias: cublasLt.h says of the epilogue "added before applying final
// postprocessing", the conversion to bf16 being the last. A sum rounded before its bias is one of the
// mistakes that the bound of bf16 is known to show (docs/tolerances.md), so a device's first run is the
// proof.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "harness/dtype.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/linear.h"

namespace plumbline::native::cuda {

class MatmulLibrary {
 public:
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
  static constexpr std::int64_t kAlignment = 16;  // bytes, of every address and row

  // Empty, or why there is no library: not in this build, or older than what it was compiled against.
  static std::string problem();
  // "13.0.2"; empty where there is none.
  static std::string version();
  // Whether linear() takes such a layer: rows of x and of y must be multiples of kAlignment bytes, as those
  // of all Qwen2 models are; others are for the kernel.
  static bool takes(DType storage, const LinearLayer& layer);

  // Allocates the workspace on the current device. Throws Error, with cuBLAS's text.
  MatmulLibrary();
  ~MatmulLibrary();
  MatmulLibrary(const MatmulLibrary&) = delete;
  MatmulLibrary& operator=(const MatmulLibrary&) = delete;

  // y = x W^T + b, queued on `stream`. x: [rows, depth]; y: [rows, outs]; in bf16, on the device, all
  // addresses multiples of kAlignment. Nothing is allocated on the device, nothing waits for it; the first
  // call for a number of rows asks for its algorithm on the host. Calls on two streams at once would share
  // the workspace: one stream only. Throws Error naming the call, with cuBLAS's text; InternalError for what
  // takes() refuses.
  void linear(Stream stream, DType storage, const LinearLayer& layer, const void* x, std::int64_t rows,
              void* y);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace plumbline::native::cuda
