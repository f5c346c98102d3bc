#include "reference/internal/device_torch.h"

#include <cstdlib>
#include <string>

#include <c10/core/impl/VirtualGuardImpl.h>

#include "reference/engine.h"

namespace plumbline::reference {

std::string why_no_cuda() {
  if (!at::globalContext().hasCUDART()) return "LibTorch was built without CUDA";
  return at::getNumGPUs() == 0 ? "LibTorch sees no CUDA device" : "";
}

void compute_plainly() {
  // Read when they are first needed. LibTorch refuses products whose workspace may change their sums; memory
  // that is let go of is the device's again at once, where the subject lies too.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  ::setenv("PYTORCH_NO_CUDA_MEMORY_CACHING", "1", /*overwrite=*/0);
  at::Context& context = at::globalContext();
  context.setAllowTF32CuBLAS(false);
  context.setAllowTF32CuDNN(false);
  context.setAllowFP16ReductionCuBLAS(false);
  context.setAllowBF16ReductionCuBLAS(false);
  context.setBenchmarkCuDNN(false);
  context.setDeterministicCuDNN(true);
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);  // all that is read was written
}

at::Device torch_device(Device device) {
  if (device.kind == DeviceKind::cpu) return at::kCPU;
  if (const std::string why = why_no_cuda(); !why.empty()) {
    throw Error(why, "reference engine", "the reference computes on the CPU without --device");
  }
  const auto present = static_cast<int>(at::getNumGPUs());
  if (device.index < 0 || device.index >= present) {
    throw Error("LibTorch sees no " + device_name(device), "reference engine",
                "it sees " + std::to_string(present) + " from cuda:0 on");
  }
  compute_plainly();
  return {at::kCUDA, static_cast<at::DeviceIndex>(device.index)};
}

void synchronize(at::Device device) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
}

}  // namespace plumbline::reference
