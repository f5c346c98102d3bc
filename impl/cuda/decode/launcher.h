// The kernel of a decode step and its launch: between decode/step.cpp and decode/step.cu, which does without
// the host's larger headers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "harness/dtype.h"
#include "impl/cuda/decode/plan.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/linear.h"
#include "impl/cuda/step_tables.h"

namespace plumbline::native::cuda {

// What the kernel knows of a model; pointers are to the device.
struct DecodeModelLayer {
  const void* input_norm = nullptr;  // [hidden]
  const void* post_norm = nullptr;
  LinearLayer q, k, v, o, gate, up, down;
  std::int64_t window = 0;  // of attention; 0: none
};
struct DecodeModel {
  DType storage = DType::f32;
  DecodeSizes sizes;
  float eps = 0;
  float attention_factor = 0;
  float scale = 0;                  // of scores
  const void* embedding = nullptr;  // [vocab, hidden]
  const void* norm = nullptr;       // [hidden]
  LinearLayer head;
  std::vector<DecodeModelLayer> layers;
};

class DecodeLauncher {
 public:
  virtual ~DecodeLauncher() = default;
  // Whether it can run over a cache of this dtype.
  virtual bool launches(DType cache) const = 0;
  // DecodeStep::run.
  virtual void run(const Tables& tables, DType cache, float* logits) const = 0;
};
std::unique_ptr<DecodeLauncher> make_decode_launcher(Stream stream, const DecodeModel& model);

}  // namespace plumbline::native::cuda
