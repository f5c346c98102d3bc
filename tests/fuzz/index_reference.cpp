// model.safetensors.index.json of the reference side, beside two sound shards that hold the tensors a and b.
#include "harness/tensor_file.h"
#include "reference/weights.h"
#include "tests/fuzz/support.h"
#include "tests/support/temporary_directory.h"

namespace {

void write_shards(const plumbline::TemporaryDirectory& directory) {
  const plumbline::Tensor tensor(plumbline::DType::f32, {2});
  plumbline::write_tensor_file(directory / "1.safetensors", {}, {{"a", tensor.view()}});
  plumbline::write_tensor_file(directory / "2.safetensors", {}, {{"b", tensor.view()}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  static const TemporaryDirectory directory;
  [[maybe_unused]] static const bool ready = (write_shards(directory), true);
  fuzz::write_file(directory / "model.safetensors.index.json", fuzz::text_of(data, size));
  fuzz::try_load([&] { reference::stored_weights(directory.path()); });
  return 0;
}
