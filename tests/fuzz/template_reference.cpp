// Any chat template, run by the reference: a text or an Error, and an end.
#include "reference/jinja/render.h"
#include "tests/fuzz/support.h"

namespace {

using plumbline::reference::jinja::Dict;
using plumbline::reference::jinja::List;

Dict variables() {
  const Dict call{{"function", Dict{{"name", "f"}, {"arguments", Dict{{"x", std::int64_t{1}}, {"y", 0.5}}}}}};
  return {{"messages", List{Dict{{"role", "user"}, {"content", "Hello"}},
                            Dict{{"role", "assistant"}, {"content", ""}, {"tool_calls", List{call}}},
                            Dict{{"role", "tool"}, {"content", "7"}}}},
          {"tools", List{Dict{{"type", "function"}}}},
          {"add_generation_prompt", true}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  fuzz::try_load([&] {
    reference::jinja::render(reference::jinja::parse(fuzz::text_of(data, size), "chat_template.jinja"),
                             variables(), "chat_template.jinja");
  });
  return 0;
}
