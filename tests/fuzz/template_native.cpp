// A chat template of the native side: known, or refused by name.
#include <array>

#include "impl/chat_template.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  const std::array<ChatMessage, 2> messages{ChatMessage{"user", "Hello"}, ChatMessage{"assistant", "Yes."}};
  fuzz::try_load(
      [&] { native::ChatTemplate(fuzz::text_of(data, size), "chat_template.jinja").render(messages, {}); });
  return 0;
}
