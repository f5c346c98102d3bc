#include "impl/generation/chat_format.h"

#include <catch2/catch.hpp>

#include "impl/tokenizer.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

std::unique_ptr<Tokenizer> with_tools() {
  const ScratchDirectory scratch;
  std::filesystem::copy_file(tiny_model() / "tokenizer.json", scratch.path() / "tokenizer.json");
  std::filesystem::copy_file(source_path("fixtures/templates/chatml_tools.jinja"),
                             scratch.path() / "chat_template.jinja");
  return load_tokenizer(scratch.path());
}

}  // namespace

TEST_CASE("chat format: pieces that are joined give the whole chat, results of tools too") {
  const auto tiny = load_tokenizer(tiny_model()), tools = with_tools();
  for (const Tokenizer* tokenizer : {tiny.get(), tools.get()}) {
    const ChatFormat format(*tokenizer);
    const std::vector<ChatMessage> chat{{"user", "Hi"},
                                        {"assistant", "A call"},
                                        {"tool", "42"},
                                        {"assistant", "It is 42."},
                                        {"user", "Thanks"}};
    std::string joined = format.default_opening();
    for (const ChatMessage& each : chat) {
      const bool answer = each.role == "assistant";
      joined += answer ? format.answer_begin() + each.content + format.answer_end() : format.message(each);
    }
    CHECK(joined == tokenizer->render_chat(chat, false));
  }
}

TEST_CASE("chat format: what cannot be a turn of its own is refused") {
  const auto tools = with_tools();
  const ChatFormat format(*tools);
  CHECK_THAT(error_of([&] {
               format.message({"critic", "no"});
             }),
             Catch::Contains("leaves out a message of 'critic'"));
  CHECK_THAT(error_of([&] {
               format.message({"assistant", "", {{"f", "{}"}}});
             }),
             Catch::Contains("tool calls cannot be said"));
}
