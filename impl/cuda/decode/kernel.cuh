// The kernel of a decode step: the order of its phases. For decode/step.cu.
#pragma once

#include <cooperative_groups.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#include "impl/cuda/decode/arguments.cuh"
#include "impl/cuda/decode/attention.cuh"
#include "impl/cuda/decode/linear.cuh"
#include "impl/cuda/decode/norm.cuh"
#include "impl/cuda/rope.h"

namespace plumbline::native::cuda {

// All blocks have done what is before it, and see it, when any leaves. meanwhile() runs while the block waits
// for the others; it may read what no other block writes since the barrier before.
template <typename Meanwhile>
__device__ __forceinline__ void grid_barrier(const Meanwhile& meanwhile) {
  const auto grid = cooperative_groups::this_grid();
  auto token = grid.barrier_arrive();
  meanwhile();
  grid.barrier_wait(std::move(token));
}

// One block of the grid.
template <typename T, typename Cache>
struct DecodeBlock {
  const DecodeArguments<T>& in;
  DecodeMemory shared;
  const T* embedded;  // the token's row of the embedding
  std::int64_t past;  // tokens in the cache
  int hidden, context, intermediate;

  // The loads that phase 1 and the head begin with.
  using Loads = LoadsOf<T, StoreJob<T>>;
  static_assert(std::is_same_v<Loads, LoadsOf<T, LogitsJob<T>>>);

  __device__ __forceinline__ void run() const {
    Loads loads;
    begin(loads);
    for (std::int64_t layer = 0; layer < in.layer_count; ++layer) {
      attention_block(layer, loads);
      mlp_block(layer, loads);
    }
    if (in.head.logits == nullptr) return;
    norm(in.scratch.stream);
    sum_rows<T>(in.head, x(), hidden, loads, rows_ahead(hidden * static_cast<int>(sizeof(T))));
  }

 private:
  __device__ __forceinline__ T* x() const { return shared.at<T>(&DecodeLayout::x); }
  __device__ __forceinline__ const DecodeTables<T>& tables(std::int64_t layer) const {
    return shared.tables<T>(layer);
  }

  // A layer's tables; seen as any copy to shared memory.
  __device__ __forceinline__ void ask_for_tables(std::int64_t layer) const {
    const auto copy = [](auto* to, const auto* from) {
      auto* bytes = reinterpret_cast<unsigned char*>(to);
      const auto* source = reinterpret_cast<const unsigned char*>(from);
      const int i = this_thread() * 16;
      static_assert(sizeof *to <= 16 * kDecodeThreads);
      if (i < static_cast<int>(sizeof *to)) copy_to_shared(bytes + i, source + i);
    };
    copy(&shared.tables<T>(layer).layer, in.layers + layer);
    copy(&shared.tables<T>(layer).runs, in.runs + layer);
  }
  __device__ __forceinline__ void ask_for_norm(const T* weight) const {
    ask_for_weight(weight, hidden, shared.at<T>(&DecodeLayout::norm_weight));
  }

  // What the layers need: the first one's tables, the rotation, the block's own share of the residual stream,
  // which is written and added to by the same lanes from layer to layer.
  __device__ __forceinline__ void begin(Loads& loads) const {
    ask_for_tables(0);
    const int thread = this_thread(), half = static_cast<int>(in.sizes.head_dim) / 2;
    if (thread < half) {
      const RotaryFactors made = rotary_factors(in.positions[0], in.inv_freq[thread], in.attention_factor);
      float* cos = shared.at<float>(&DecodeLayout::cos);
      float* sin = shared.at<float>(&DecodeLayout::sin);
      cos[thread] = cos[thread + half] = made.cos;
      sin[thread] = sin[thread + half] = made.sin;
    }
    const WarpOutputs own = own_outputs();
    for (int out = own.first; out < hidden && lane_of_thread() == 0; out += own.stride) {
      in.scratch.stream[out] = embedded[out];
    }
    wait_for_copies();
    __syncthreads();
    begin_layer(0, loads);
  }

  // What a layer's first phase can have before its input is there.
  __device__ __forceinline__ void begin_layer(std::int64_t layer, Loads& loads) const {
    const DecodeLayer<T>& own = tables(layer).layer;
    begin_rows<T>(own.queries, hidden, loads);
    ask_for_norm(own.input_norm);
    prefetch_rows<T>(own.attention_output, context);
  }

  // x becomes the normed stream; the norm's weight has been asked for.
  __device__ __forceinline__ void norm(const T* stream) const {
    wait_for_copies();
    load_vector(stream, hidden, x());
    norm_vector(shared.at<T>(&DecodeLayout::norm_weight), in.eps, hidden,
                shared.at<float>(&DecodeLayout::sums), x());
  }

  __device__ __forceinline__ void attend(std::int64_t layer) const {
    const DecodeTables<T>& own = tables(layer);
    const DecodeAttention<T, Cache> attention{in, shared, own.runs, decode_keys(past, own.layer.window)};
    const int tasks = decode_tasks(in.sizes), first = static_cast<int>(blockIdx.x);
    grid_barrier([&] {
      if (first < tasks) attention.ask_for_tile(decode_task(in.sizes, first));
      if (layer + 1 < in.layer_count) ask_for_tables(layer + 1);
      prefetch_rows<T>(own.layer.gate_up, hidden);
    });
    for (int task = first; task < tasks; task += static_cast<int>(gridDim.x)) {
      if (task != first) attention.ask_for_tile(decode_task(in.sizes, task));
      attention.run(decode_task(in.sizes, task));
    }
  }

  __device__ __forceinline__ void attention_block(std::int64_t layer, Loads& loads) const {
    const DecodeLayer<T>& own = tables(layer).layer;
    norm(layer == 0 ? embedded : in.scratch.stream);
    sum_rows<T>(own.queries, x(), hidden, loads);
    attend(layer);
    LoadsOf<T, ResidualJob<T>> output_loads;
    grid_barrier([&] {
      begin_rows<T>(own.attention_output, context, output_loads);
      prefetch_rows<T>(own.down, intermediate);
    });
    load_vector<T>(in.scratch.context, context, x());
    sum_rows<T>(own.attention_output, x(), context, output_loads);
  }

  __device__ __forceinline__ void mlp_block(std::int64_t layer, Loads& loads) const {
    const DecodeLayer<T>& own = tables(layer).layer;
    const bool last = layer + 1 == in.layer_count;
    LoadsOf<T, SiluMulJob<T>> gate_up_loads;
    grid_barrier([&] {
      begin_rows<T>(own.gate_up, hidden, gate_up_loads);
      ask_for_norm(own.post_norm);
    });
    norm(in.scratch.stream);
    sum_rows<T>(own.gate_up, x(), hidden, gate_up_loads);
    LoadsOf<T, ResidualJob<T>> down_loads;
    grid_barrier([&] {
      begin_rows<T>(own.down, intermediate, down_loads);
      if (!last) prefetch_rows<T>(tables(layer + 1).layer.queries, hidden);
    });
    load_vector<T>(in.scratch.act, intermediate, x());
    sum_rows<T>(own.down, x(), intermediate, down_loads);
    if (last && in.head.logits == nullptr) return;
    grid_barrier([&] {
      if (!last) return begin_layer(layer + 1, loads);
      begin_rows<T>(in.head, hidden, loads);
      ask_for_norm(in.norm);
    });
  }
};

template <typename T, typename Cache>
__global__ void __launch_bounds__(kDecodeThreads, 1)
    decode_step_kernel(const __grid_constant__ DecodeArguments<T> in) {
  const DecodeBlock<T, Cache> block{in,
                                    {shared_memory<unsigned char>(), &in.layout},
                                    in.embedding + in.tokens[0] * in.sizes.hidden,
                                    in.steps[0].past,
                                    static_cast<int>(in.sizes.hidden),
                                    static_cast<int>(in.sizes.heads * in.sizes.head_dim),
                                    static_cast<int>(in.sizes.intermediate)};
  block.run();
}

}  // namespace plumbline::native::cuda
