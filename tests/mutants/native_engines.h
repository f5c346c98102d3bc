// The native engine on trial: on the CPU, in every instruction set that it has here, or on a CUDA device.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "harness/engine.h"

namespace plumbline::mutants {

struct NativeEngine {
  std::string name;  // "native avx2, 2 threads", "native cuda"
  std::function<std::unique_ptr<Engine>(const std::filesystem::path& checkpoint)> open;
};

// Those that store `storage`; none where the device does not.
std::vector<NativeEngine> native_engines(DeviceKind device, DType storage);
// One of them, f32.
std::unique_ptr<Engine> open_native(DeviceKind device, const std::filesystem::path& checkpoint);

}  // namespace plumbline::mutants
