#include "impl/cpu/isa.h"

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

// The best first.
std::vector<const Kernels*> runnable() {
  std::vector<const Kernels*> all;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) all.push_back(&kAvx512Kernels);
  const bool half = __builtin_cpu_supports("f16c");
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && half) all.push_back(&kAvx2Kernels);
#endif
  all.push_back(&kScalarKernels);
  return all;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Kernels* kernels : runnable()) names.emplace_back(kernels->name);
  return names;
}

const Kernels& kernels_for(const std::string& isa) {
  for (const Kernels* kernels : runnable()) {
    if (isa.empty() || isa == kernels->name) return *kernels;
  }
  throw Error(fmt::format("instruction set '{}' is not available", isa), "cpu engine",
              fmt::format("here: {}", fmt::join(available_isas(), ", ")));
}

}  // namespace plumbline::native
