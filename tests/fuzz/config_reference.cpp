// config.json of the reference side: parsed, and what it derives and expects.
#include "reference/config.h"
#include "reference/weights.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  fuzz::try_load([&] {
    const ModelConfig config = reference::parse_config(fuzz::text_of(data, size), "config.json");
    reference::derive(config);
    if (config.num_hidden_layers < 64) reference::expected_weights(config);
  });
  return 0;
}
