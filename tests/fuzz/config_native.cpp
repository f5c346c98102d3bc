// config.json of the native side: parsed, and what it derives and expects.
#include "impl/config.h"
#include "impl/weights.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  fuzz::try_load([&] {
    const ModelConfig config = native::parse_config(fuzz::text_of(data, size), "config.json");
    native::derive(config);
    if (config.num_hidden_layers < 64) native::expected_weights(config);
  });
  return 0;
}
