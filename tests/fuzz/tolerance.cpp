// tolerances.yaml.
#include "harness/tolerance.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  fuzz::try_load([&] {
    const Tolerances read = Tolerances::parse(std::string(fuzz::text_of(data, size)), "tolerances.yaml");
    read.require_complete(DType::f32, DeviceKind::cpu);
  });
  return 0;
}
