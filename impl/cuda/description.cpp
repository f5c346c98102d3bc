#include "impl/cuda/description.h"

#include <fmt/format.h>

#include "impl/cuda/device.h"
#include "impl/cuda/matmul_library.h"

namespace plumbline::native {

std::vector<std::pair<std::string, std::string>> cuda_description() {
  std::vector<std::pair<std::string, std::string>> lines;
  if (cuda::device_problem().empty()) {
    const cuda::DeviceInfo device = cuda::device_info();
    const auto gibibytes = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
    lines.emplace_back("cuda device", fmt::format("{}, compute capability {}, {} multiprocessors",
                                                  device.name, device.capability, device.multiprocessors));
    lines.emplace_back("cuda memory", fmt::format("{:.1f} GiB, {:.1f} free", gibibytes(device.memory),
                                                  gibibytes(device.free_memory)));
    lines.emplace_back("cuda driver",
                       fmt::format("knows CUDA {}, this build is of {}", device.driver, device.runtime));
    lines.emplace_back("cuda storage dtypes", "f32, bf16");
  }
  const std::string problem = cuda::MatmulLibrary::problem();
  lines.emplace_back("cuBLASLt", problem.empty() ? cuda::MatmulLibrary::version()
                                                 : "not used, own kernels take its place: " + problem);
  return lines;
}

}  // namespace plumbline::native
