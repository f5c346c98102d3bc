#include "reference/internal/chat_template.h"

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "reference/tokenizer.h"
#include "tests/reference/chat_support.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;

namespace {

const std::vector<ChatMessage> kHello{{"user", "Hi"}};

// A checkpoint of tiny's tokenizer with this tokenizer_config.json; null for none.
std::unique_ptr<Tokenizer> with_config(const TemporaryDirectory& directory, const nlohmann::json& config) {
  std::filesystem::copy_file(test::tiny_model() / "tokenizer.json", directory / "tokenizer.json",
                             std::filesystem::copy_options::overwrite_existing);
  if (!config.is_null()) test::write_text(directory / "tokenizer_config.json", config.dump());
  return reference::load_tokenizer(directory.path());
}

std::string rendered(const nlohmann::json& config, const ChatOptions& options = {}) {
  const TemporaryDirectory directory;
  return with_config(directory, config)->render_chat(kHello, options);
}

}  // namespace

TEST_CASE("chat: conversations with tools render as transformers renders them", "[reference][chat]") {
  const nlohmann::json golden = test::read_json(test::fixture("goldens/chat/chat.json"));
  const std::string program = test::read_text("templates/chatml_tools.jinja");
  for (const nlohmann::json& each : golden.at("conversations")) {
    INFO(each.at("note").get<std::string>());
    CHECK(test::render(program, test::messages_of(each.at("messages")), test::options_of(each)) ==
          each.at("text").get<std::string>());
  }
  CHECK(golden.at("conversations").size() >= 80);
}

TEST_CASE("chat: tiny's own template renders tiny's goldens", "[reference][chat]") {
  const auto tiny = reference::load_tokenizer(test::tiny_model());
  const nlohmann::json golden = test::read_json(test::fixture("goldens/tiny/tokenization.json"));
  for (const nlohmann::json& each : golden.at("chats")) {
    INFO(each.at("note").get<std::string>());
    const std::string text =
        tiny->render_chat(test::messages_of(each.at("messages")), each.at("add_generation_prompt"));
    CHECK(text == each.at("text").get<std::string>());
    CHECK(tiny->encode(text) == each.at("ids").get<std::vector<TokenId>>());
  }
}

TEST_CASE("chat: the template is the file's, then the config's, then the one that is named",
          "[reference][chat]") {
  CHECK(rendered({{"chat_template", "{{ messages[0].content }}"}}) == "Hi");
  const nlohmann::json two{{"chat_template",
                            {{{"name", "tool_use"}, {"template", "tools {{ tools | length }}"}},
                             {{"name", "default"}, {"template", "default"}}}}};
  CHECK(rendered(two) == "default");
  CHECK(rendered(two, {.tools = {"{}"}}) == "tools 1");
  const TemporaryDirectory directory;
  test::write_text(directory / "chat_template.jinja", "file");
  CHECK(with_config(directory, two)->render_chat(kHello, {.tools = {"{}"}}) == "file");
}

TEST_CASE("chat: special tokens of the config are variables", "[reference][chat]") {
  CHECK(rendered({{"chat_template", "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}"},
                  {"bos_token", {{"content", "<s>"}, {"special", true}}},
                  {"eos_token", "</s>"},
                  {"pad_token", nullptr}}) == "<s></s>False");
}

TEST_CASE("chat: what cannot be rendered is refused in one line", "[reference][chat]") {
  CHECK_THAT(error_of([] { rendered(nullptr); }), Contains("has no chat template"));
  CHECK_THAT(error_of([] { rendered(nlohmann::json::object()); }), Contains("has no chat template"));
  CHECK_THAT(error_of([] {
               rendered({{"chat_template", {{{"name", "other"}, {"template", "x"}}}}});
             }),
             Contains("none named default"));
  CHECK_THAT(error_of([] {
               rendered({{"chat_template", {{{"name", "default"}}}}});
             }),
             Contains("name and template"));
  CHECK_THAT(error_of([] { rendered({{"chat_template", 3}}); }), Contains("chat_template"));
  CHECK_THAT(error_of([] {
               rendered({{"chat_template", "{% if %}"}});
             }),
             Contains("tokenizer_config.json: chat_template, line 1"));
  CHECK_THAT(error_of([] {
               rendered({{"chat_template", "{{ raise_exception('no\ntools') }}"}});
             }),
             Contains("the template refuses: no") && !Contains("\n"));
}

TEST_CASE("chat: tools, calls and messages are checked before the template sees them", "[reference][chat]") {
  const nlohmann::json config{{"chat_template", "x"}};
  CHECK_THAT(error_of([&] {
               rendered(config, {.tools = {"{}", "{"}});
             }),
             Contains("tool 2: is not valid JSON"));
  CHECK_THAT(error_of([&] { rendered(config, {.tools = {"[1]"}}); }), Contains("tool 1: is no JSON object"));
  const TemporaryDirectory directory;
  const auto tokenizer = with_config(directory, config);
  const std::vector<ChatMessage> call{{"assistant", "", {{"f", "x=1"}}}};
  CHECK_THAT(error_of([&] { tokenizer->render_chat(call, false); }),
             Contains("arguments of the tool call f: is not valid JSON"));
  CHECK_THAT(error_of([&] { tokenizer->render_chat({}, false); }), Contains("no messages"));
}
