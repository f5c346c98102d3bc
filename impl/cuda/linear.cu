#include "impl/cuda/linear.h"

#include "impl/cuda/launch.h"
#include "impl/cuda/linear_jobs.cuh"
#include "impl/cuda/linear_kernel.cuh"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {
namespace {

template <typename T, typename Job, LinearTile kTile, bool kVectors>
void launch_tile(const char* name, Stream stream, const LinearPlan& plan, const Job& job, const T* x,
                 std::int64_t rows, std::int64_t depth) {
  constexpr int kRows = static_cast<int>(tile_rows(kTile));
  constexpr int kOuts = static_cast<int>(tile_outs(kTile, Job::kWeights));
  launch(name, linear_kernel<T, Job, kRows, kOuts, kVectors>, plan.shape, stream, job, plan.grid, x, rows,
         depth);
}

template <typename T, typename Job>
void launch_job(const char* name, Stream stream, const Job& job, std::int64_t outs, bool weights_aligned,
                const void* input, std::int64_t rows, std::int64_t depth) {
  if (rows == 0 || outs == 0) return;
  const auto* x = static_cast<const T*>(input);
  const bool vectors = weights_aligned && aligned(x) && depth % Packed<T>::kCount == 0;
  const LinearPlan plan = plan_linear(rows, outs, Job::kWeights, sizeof(T), vectors);
  if (!vectors) return launch_tile<T, Job, LinearTile::one, false>(name, stream, plan, job, x, rows, depth);
  if (plan.tile == LinearTile::one) {
    return launch_tile<T, Job, LinearTile::one, true>(name, stream, plan, job, x, rows, depth);
  }
  if constexpr (sizeof(T) == 2) {
    if (plan.tile == LinearTile::many) {
      return launch_tile<T, Job, LinearTile::many, true>(name, stream, plan, job, x, rows, depth);
    }
  }
  launch_tile<T, Job, LinearTile::few, true>(name, stream, plan, job, x, rows, depth);
}

template <typename T>
void store(const char* name, Stream stream, const LinearOutput (&outputs)[3], const void* x,
           std::int64_t rows) {
  StoreJob<T> job{};
  std::int64_t outs = 0;
  bool weights_aligned = true;
  for (int i = 0; i < 3; ++i) {
    job.weights[i] = weights_of<T>(outputs[i].layer);
    job.y[i] = static_cast<T*>(outputs[i].y);
    outs += outputs[i].layer.outs;
    weights_aligned = weights_aligned && aligned(outputs[i].layer.weight);
  }
  launch_job<T>(name, stream, job, outs, weights_aligned, x, rows, outputs[0].layer.depth);
}

}  // namespace

void linear(Stream stream, DType storage, const LinearLayer& layer, const void* x, std::int64_t rows,
            void* y) {
  for_storage(storage, [&](auto element) {
    store<decltype(element)>("linear", stream, {{layer, y}, {}, {}}, x, rows);
  });
}

void linear_three(Stream stream, DType storage, const LinearOutput (&outputs)[3], const void* x,
                  std::int64_t rows) {
  for (const LinearOutput& output : outputs) {
    require(output.layer.depth == outputs[0].layer.depth, "cuda: linear_three: layers of one input");
  }
  for_storage(storage,
              [&](auto element) { store<decltype(element)>("linear_three", stream, outputs, x, rows); });
}

void linear_residual(Stream stream, DType storage, const LinearLayer& layer, const void* x, std::int64_t rows,
                     void* stream_rows) {
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    const ResidualJob<T> job{weights_of<T>(layer), static_cast<T*>(stream_rows)};
    launch_job<T>("linear_residual", stream, job, layer.outs, aligned(layer.weight), x, rows, layer.depth);
  });
}

void linear_silu_mul(Stream stream, DType storage, const LinearLayer& gate, const LinearLayer& up,
                     const void* x, std::int64_t rows, void* act) {
  require(gate.outs == up.outs && gate.depth == up.depth,
          "cuda: linear_silu_mul: gate and up differ in shape");
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    const SiluMulJob<T> job{weights_of<T>(gate), weights_of<T>(up), static_cast<T*>(act)};
    launch_job<T>("linear_silu_mul", stream, job, gate.outs, aligned(gate.weight) && aligned(up.weight), x,
                  rows, gate.depth);
  });
}

void linear_logits(Stream stream, DType storage, const LinearLayer& layer, const void* x, std::int64_t rows,
                   float* logits) {
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    const LogitsJob<T> job{weights_of<T>(layer), logits};
    launch_job<T>("linear_logits", stream, job, layer.outs, aligned(layer.weight), x, rows, layer.depth);
  });
}

}  // namespace plumbline::native::cuda
