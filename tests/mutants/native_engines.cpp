#include "tests/mutants/native_engines.h"

#include <fmt/format.h>

#include "impl/cpu/engine.h"
#include "impl/cuda/engine.h"

namespace plumbline::mutants {

using std::filesystem::path;

std::vector<NativeEngine> native_engines(DeviceKind device, DType storage) {
  std::vector<NativeEngine> engines;
  if (device == DeviceKind::cuda) {
    if (storage == DType::f16) return engines;
    const native::CudaOptions options{.storage = storage};
    engines.push_back(
        {"native cuda", [options](const path& model) { return native::make_cuda_engine(model, options); }});
    return engines;
  }
  for (const std::string& isa : native::available_isas()) {
    for (const int threads : {1, 2}) {
      const native::CpuOptions options{threads, isa, storage};
      engines.push_back({fmt::format("native {}, {} thread{}", isa, threads, threads == 1 ? "" : "s"),
                         [options](const path& model) { return native::make_cpu_engine(model, options); }});
    }
  }
  return engines;
}

std::unique_ptr<Engine> open_native(DeviceKind device, const path& checkpoint) {
  if (device == DeviceKind::cuda) return native::make_cuda_engine(checkpoint);
  return native::make_cpu_engine(checkpoint, {.threads = 1});
}

}  // namespace plumbline::mutants
