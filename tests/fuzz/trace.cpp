// A trace file.
#include "harness/trace_file.h"
#include "tests/fuzz/support.h"
#include "tests/support/temporary_directory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  static const TemporaryDirectory directory;
  const std::filesystem::path path = directory / "trace.safetensors";
  fuzz::write_file(path, fuzz::text_of(data, size));
  fuzz::try_load([&] { read_trace(path); });
  return 0;
}
