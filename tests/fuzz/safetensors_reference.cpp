// model.safetensors of the reference side.
#include "reference/weights.h"
#include "tests/fuzz/support.h"
#include "tests/support/temporary_directory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  static const TemporaryDirectory directory;
  fuzz::write_file(directory / "model.safetensors", fuzz::text_of(data, size));
  fuzz::try_load([&] { reference::stored_weights(directory.path()); });
  return 0;
}
