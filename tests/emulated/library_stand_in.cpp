// In cuBLASLt's place under the emulation: products whose sums depend on how many rows there are, as the
// library's may. So the engine's way to it is walked, and what phases demand of an engine without one order
// of sums.
#include "harness/error.h"
#include "impl/cuda/element.h"
#include "impl/cuda/matmul_library.h"
#include "impl/cuda/memory.h"

namespace plumbline::native::cuda {
namespace {

// In as many parts as there are rows, up to 7, one after the other.
float dot(const Bf16* x, const Bf16* w, std::int64_t depth, std::int64_t rows) {
  const std::int64_t parts = 1 + rows % 7;
  float sum = 0;
  for (std::int64_t part = 0; part < parts; ++part) {
    float of_part = 0;
    for (std::int64_t k = part; k < depth; k += parts) of_part += widen(x[k]) * widen(w[k]);
    sum += of_part;
  }
  return sum;
}

}  // namespace

struct MatmulLibrary::State {};

std::string MatmulLibrary::problem() {
  return {};
}

std::string MatmulLibrary::version() {
  return "0.0.0 (a stand-in)";
}

bool MatmulLibrary::takes(DType storage, const LinearLayer& layer) {
  return storage == DType::bf16 && layer.outs % 8 == 0 && layer.depth % 8 == 0;
}

MatmulLibrary::MatmulLibrary() = default;
MatmulLibrary::~MatmulLibrary() = default;

void MatmulLibrary::linear(Stream stream, DType storage, const LinearLayer& layer, const void* x,
                           std::int64_t rows, void* y) {
  require(takes(storage, layer), "MatmulLibrary: a layer that it does not take");
  wait(stream);  // what is queued before it; memory of the emulated device is the host's
  const auto* const in = static_cast<const Bf16*>(x);
  const auto* const weight = static_cast<const Bf16*>(layer.weight);
  const auto* const bias = static_cast<const Bf16*>(layer.bias);
  auto* const out = static_cast<Bf16*>(y);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t o = 0; o < layer.outs; ++o) {
      const float sum = dot(in + row * layer.depth, weight + o * layer.depth, layer.depth, rows);
      out[row * layer.outs + o] = narrow<Bf16>(bias != nullptr ? sum + widen(bias[o]) : sum);
    }
  }
}

}  // namespace plumbline::native::cuda
