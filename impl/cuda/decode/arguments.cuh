// What the kernel of a decode step is launched with, and the tables it reads; for decode/step.cu.
#pragma once

#include <cstdint>

#include "impl/cuda/decode/plan.h"
#include "impl/cuda/linear_jobs.cuh"
#include "impl/cuda/step_table.h"

namespace plumbline::native::cuda {

// A layer, as the kernel sees it; a table of them lies in device memory and is made once.
template <typename T>
struct alignas(16) DecodeLayer {
  const T* input_norm;
  const T* post_norm;
  StoreJob<T> queries;  // and keys and values, to DecodeScratch::projections
  ResidualJob<T> attention_output;
  SiluMulJob<T> gate_up;
  ResidualJob<T> down;
  std::int64_t window;  // of attention; 0: none
};

// Activations, in device memory: every block writes its own share of them and reads all, behind a barrier of
// the grid. Read by plain loads, never by those for memory that nobody writes: a block's L1 cache knows
// nothing of the others' writes until it has passed the barrier.
template <typename T>
struct DecodeScratch {
  T* stream;       // the residual stream [hidden]
  T* projections;  // queries [heads, head_dim], keys, values [kv_heads, head_dim] each; before the rotation
  T* context;      // [heads, head_dim]
  T* act;          // [intermediate]
};

template <typename T>
struct DecodeArguments {
  DecodeSizes sizes;
  DecodeLayout layout;
  DecodeScratch<T> scratch;
  const DecodeLayer<T>* layers;  // [layer_count]
  std::int64_t layer_count;
  const T* embedding;  // [vocab, hidden]
  const T* norm;       // [hidden]
  LogitsJob<T> head;   // its logits null where nobody wants them
  float eps;
  float attention_factor;
  float scale;
  // Of the step (impl/cuda/step_tables.h).
  const std::int32_t* tokens;
  const std::int64_t* positions;
  const float* inv_freq;  // [head_dim / 2]
  const StepEntry* steps;
  const StepRuns* runs;  // [layer_count]
};

// One layer's tables in shared memory, brought there while the layer before it is computed.
template <typename T>
struct DecodeTables {
  DecodeLayer<T> layer;
  StepRuns runs;
};
inline constexpr std::size_t kDecodeTableBytes = 2 * sizeof(DecodeTables<float>);
static_assert(sizeof(DecodeTables<float>) == sizeof(DecodeTables<Bf16>) &&
              sizeof(DecodeLayer<float>) % 16 == 0 && sizeof(StepRuns) % 16 == 0);

// The block's shared memory (DecodeLayout).
struct DecodeMemory {
  unsigned char* memory;
  const DecodeLayout* layout;

  template <typename T>
  __device__ __forceinline__ DecodeTables<T>& tables(std::int64_t layer) const {
    return reinterpret_cast<DecodeTables<T>*>(memory)[layer % 2];
  }
  template <typename T>
  __device__ __forceinline__ T* at(std::size_t DecodeLayout::*part) const {
    return reinterpret_cast<T*>(memory + layout->*part);
  }
};

}  // namespace plumbline::native::cuda
