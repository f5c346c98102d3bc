#include "impl/chat_template.h"

#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

#include "impl/chat/known_forms.h"
#include "impl/chat/python_json.h"
#include "impl/chat/template_form.h"
#include "impl/json.h"
#include "impl/tokenizer.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

const std::vector<ChatMessage> kHello{{"user", "Hi"}};
constexpr const char* kTurns =
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + "
    "'<|im_end|>\\n' "
    "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

std::vector<ChatMessage> messages_of(const nlohmann::json& messages) {
  std::vector<ChatMessage> list;
  for (const auto& each : messages) {
    const auto& content = each.at("content");
    ChatMessage message{each.at("role"), content.is_null() ? std::string() : content.get<std::string>()};
    for (const auto& call : each.value("tool_calls", nlohmann::json::array())) {
      message.tool_calls.push_back({call.at("name"), call.at("arguments")});
    }
    list.push_back(message);
  }
  return list;
}

std::string tools_template() {
  return read_text_file(source_path("fixtures/templates/chatml_tools.jinja"));
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string render(std::string_view jinja, const std::vector<ChatMessage>& messages,
                   const ChatOptions& options = {}) {
  return ChatTemplate(jinja, "FILE").render(messages, options);
}

std::string form_of(std::string_view jinja) {
  return template_form(jinja, "FILE").text;
}

std::string refusal(std::string_view jinja) {
  return error_of([&] { render(jinja, kHello); });
}

// In a checkpoint's folder; null: no tokenizer_config.json.
std::string from_folder(const nlohmann::json& config, const char* file, const ChatOptions& options = {}) {
  const ScratchDirectory scratch;
  if (!config.is_null()) scratch.write("tokenizer_config.json", config.dump());
  if (file != nullptr) scratch.write("chat_template.jinja", file);
  return ChatTemplate(scratch.path()).render(kHello, options);
}

}  // namespace

TEST_CASE("chat: conversations with tools render as transformers renders them") {
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/chat/chat.json"));
  const ChatTemplate chat(tools_template(), "FILE");
  for (const auto& each : golden.at("conversations")) {
    INFO(each.at("note"));
    const ChatOptions options{each.at("add_generation_prompt"), each.at("tools")};
    CHECK(chat.render(messages_of(each.at("messages")), options) == each.at("text").get<std::string>());
  }
  CHECK(golden.at("conversations").size() >= 80);
}

TEST_CASE("chat: tiny's own template renders tiny's goldens") {
  const auto tokenizer = load_tokenizer(tiny_model());
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tiny/tokenization.json"));
  for (const auto& each : golden.at("chats")) {
    INFO(each.at("note"));
    const std::string text =
        tokenizer->render_chat(messages_of(each.at("messages")), each.at("add_generation_prompt"));
    CHECK(text == each.at("text").get<std::string>());
    CHECK(tokenizer->encode(text) == each.at("ids").get<std::vector<TokenId>>());
  }
}

TEST_CASE("chat: a template's form is what it says, not how it is written") {
  const std::string plain = form_of("{% if a.b %}{{ 'x' + message['role'] + \"y\" }}{% endif %}");
  CHECK(plain == "block if a . b\ntext \"x\"\noutput message . role\ntext \"y\"\nblock endif\n");
  CHECK(form_of("{%- if a['b'] -%}\n  x{{- message.role -}}\n  y\n{%- endif -%}\n") == plain);
  CHECK(form_of("  {% if a.b %}\n  {# note #}\nx{{ message [ 'role' ] }}{{ 'y' }}\n  {% endif %}\n") ==
        replaced(plain, "\"y\"", "\"y\\n\""));
  CHECK(form_of("{{ x.role + 'a' }}") ==
        "output x . role + \"a\"\n");  // may be no text: an error, not a text
  CHECK(form_of("{{ 'a' ~ 1 }}") == "output \"a\" ~ 1\n");
  CHECK(form_of("a\r\nb\n") == "text \"a\\nb\"\n");
  CHECK(form_of("{{ {'a': {'b': 1}} }}") == "output { \"a\" : { \"b\" : 1 } }\n");
}

TEST_CASE("chat: default system texts are told from the form") {
  const TemplateForm form = template_form(
      "{% if a %}{{ b }}{% else %}{{ 'One \\'1\\'' }}{% endif %}{{ '<|im_start|>system\nTwo.<|im_end|>\n' }}"
      "{{ '<|im_start|>system\\n' + message.content + '<|im_end|>' }}{% if a %}{{ 'kept' }}{% endif %}",
      "FILE");
  CHECK(form.default_systems == std::vector<std::string>{"One '1'", "Two."});
  CHECK(form.text.find("One") == std::string::npos);
  CHECK(form.text.find("Two") == std::string::npos);
  CHECK(form.text.find("kept") != std::string::npos);
  const std::string mine =
      replaced(tools_template(), "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
               "Be \\\"kind\\\" \\\\ <b>.");
  CHECK(render(mine, kHello) ==
        "<|im_start|>system\nBe \"kind\" \\ <b>.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
}

TEST_CASE("chat: of two default system texts the first is for chats with tools") {
  const ChatForm tools{.turns = ChatForm::Turns::with_tools};
  const DefaultSystem two = default_system(std::vector<std::string>{"Call.", "Talk."});
  CHECK_THAT(render_messages(tools, two, kHello, {}),
             Catch::StartsWith("<|im_start|>system\nTalk.<|im_end|>"));
  CHECK_THAT(render_messages(tools, two, kHello, {.tools = {"{}"}}),
             Catch::StartsWith("<|im_start|>system\nCall.\n\n# Tools"));
  const DefaultSystem one = default_system(std::vector<std::string>{"Both."});
  CHECK_THAT(render_messages(tools, one, kHello, {.tools = {"{}"}}),
             Catch::StartsWith("<|im_start|>system\nBoth."));
  CHECK_THAT(render_messages({}, default_system({}), kHello, {}), Catch::StartsWith("<|im_start|>user\nHi"));
}

TEST_CASE("chat: the table of known forms is well made") {
  std::set<std::string_view> seen;
  for (const KnownForm& each : known_forms()) {
    CHECK(each.fingerprint.size() == 64);
    CHECK(each.fingerprint.find_first_not_of("0123456789abcdef") == std::string_view::npos);
    CHECK(seen.insert(each.fingerprint).second);
    CHECK(each.default_systems <= 2);
    CHECK(!each.name.empty());
  }
  const auto name_of = [](const std::string& jinja) -> std::string {
    const std::string fingerprint = template_form(jinja, "FILE").fingerprint();
    const auto found = std::ranges::find(known_forms(), fingerprint, &KnownForm::fingerprint);
    return found == known_forms().end() ? "none" : std::string(found->name);
  };
  CHECK_THAT(name_of(tools_template()), Catch::Contains("fixtures/templates"));
  CHECK_THAT(name_of(read_json(tiny_model() / "tokenizer_config.json").at("chat_template")),
             Catch::Contains("tiny"));
  CHECK(name_of(kTurns) == "ChatML without a default system text");
}

TEST_CASE("chat: plain ChatML renders every role, with a default system text where the template has one") {
  CHECK(render(kTurns, kHello, {.add_generation_prompt = true}) ==
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  const std::string with_default = replaced(kTurns, "messages %}",
                                            "messages %}{% if loop.first and messages[0]['role'] != 'system' "
                                            "%}{{ '<|im_start|>system\\nMine.<|im_end|>\\n' "
                                            "}}{% endif %}");
  CHECK(render(with_default, kHello) ==
        "<|im_start|>system\nMine.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
  const std::vector<ChatMessage> other{{"system", ""}, {"tool", "1"}, {"assistant", "A", {{"f", "{}"}}}};
  CHECK(
      render(with_default, other, {.tools = {"{}"}}) ==  // as Jinja has it: what is not asked for is not seen
      "<|im_start|>system\n<|im_end|>\n<|im_start|>tool\n1<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n");
}

// Qwen1.5-Chat's first template; the expectations are transformers' answers.
TEST_CASE("chat: a form may leave the last message open") {
  const std::string open =
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content']}}{% if "
      "(loop.last "
      "and add_generation_prompt) or not loop.last %}{{ '<|im_end|>' + '\\n'}}{% endif %}{% endfor %}{% if "
      "add_generation_prompt and messages[-1]['role'] != 'assistant' %}{{ '<|im_start|>assistant\\n' }}{% "
      "endif %}";
  const std::vector<ChatMessage> answered{{"user", "Hi"}, {"assistant", "Yes"}};
  CHECK(render(open, kHello) == "<|im_start|>user\nHi");
  CHECK(render(open, kHello, {.add_generation_prompt = true}) ==
        render(kTurns, kHello, {.add_generation_prompt = true}));
  CHECK(render(open, answered) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes");
  CHECK(render(open, answered, {.add_generation_prompt = true}) == render(kTurns, answered));
}

TEST_CASE("chat: a template that is not known is refused by its file, not guessed") {
  const std::string known = tools_template();
  REQUIRE(refusal(known).empty());
  for (const std::string& other :
       {std::string("[INST] {{ messages }} [/INST]"), std::string("<|im_start|>"), std::string(),
        std::string(kTurns) + "!", replaced(known, "loop.first", "true"),
        replaced(known, "<tools>", "<tool>"), replaced(known, "'user'", "'human'"),
        replaced(known, "add_generation_prompt", "true"), replaced(known, "| tojson", "| string"),
        replaced(kTurns, ".content", ".text"), replaced(kTurns, "\\n", " ")}) {
    CHECK_THAT(refusal(other),
               Catch::Contains("FILE: chat_template is not one of the templates that are known"));
  }
  for (const char* broken :
       {"{{ 'a", "{% if", "{# a", "{{ 'a\\x41' }}", "{{ a ! }}", "{", "{{", "{%-", "{{ '\\"}) {
    CHECK_THAT(refusal(broken), Catch::Contains("FILE: chat_template"));
  }
  for (std::size_t at = 0; at < known.size();
       ++at) {  // whatever is cut out, it is another form or the same chat
    const std::string message = refusal(known.substr(0, at) + known.substr(at + 1));
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("chat: the template is the file's, then the config's, then the one that is named") {
  const std::string plain = render(kTurns, kHello), tools = tools_template();
  CHECK(from_folder({{"chat_template", kTurns}}, nullptr) == plain);
  CHECK(from_folder({{"chat_template", "unknown"}}, kTurns) == plain);
  const nlohmann::json two{
      {"chat_template",
       {{{"name", "tool_use"}, {"template", tools}}, {{"name", "default"}, {"template", kTurns}}}}};
  CHECK(from_folder(two, nullptr) == plain);
  CHECK(from_folder(two, nullptr, {.tools = {"{}"}}) == render(tools, kHello, {.tools = {"{}"}}));
  CHECK_THAT(error_of([&] { from_folder(nullptr, nullptr); }), Catch::Contains("has no chat template"));
  CHECK_THAT(error_of([&] {
               from_folder({{"chat_template", nullptr}}, nullptr);
             }),
             Catch::Contains("has no chat template"));
  CHECK_THAT(error_of([&] {
               from_folder({{"chat_template", 3}}, nullptr);
             }),
             Catch::Contains("neither a text nor a list"));
  CHECK_THAT(error_of([&] {
               from_folder({{"chat_template", {{{"name", "x"}}}}}, nullptr);
             }),
             Catch::Contains("without name or template"));
  const nlohmann::json other{{"chat_template", {{{"name", "other"}, {"template", kTurns}}}}};
  CHECK_THAT(error_of([&] { from_folder(other, nullptr); }), Catch::Contains("none named default"));
}

TEST_CASE("chat: a tokenizer loads beside a template that is not known") {
  const ScratchDirectory scratch;
  scratch.write("tokenizer.json", read_json(tiny_model() / "tokenizer.json").dump());
  scratch.write("chat_template.jinja", "unknown");
  const auto tokenizer = load_tokenizer(scratch.path());
  CHECK(!tokenizer->encode("Hello").empty());
  CHECK_THAT(error_of([&] { tokenizer->render_chat(kHello, true); }),
             Catch::Contains("chat_template.jinja: chat_template is not one of"));
}

TEST_CASE("chat: tools, calls and messages are checked, whatever the template does with them") {
  for (const std::string& jinja : {std::string(kTurns), tools_template()}) {
    const auto with = [&](const ChatMessage& message, const ChatOptions& options) {
      return error_of([&] { render(jinja, {message}, options); });
    };
    CHECK_THAT(with(kHello[0], {.tools = {"{}", "{"}}), Catch::Contains("tool 2: is not valid JSON"));
    CHECK_THAT(with(kHello[0], {.tools = {"[1]"}}), Catch::Contains("tool 1: is not a JSON object"));
    CHECK_THAT(with({"assistant", "", {{"f", "x=1"}}}, {}),
               Catch::Contains("arguments of the tool call f: is not valid JSON"));
    CHECK_THAT(with({"user", "", {{"f", ""}}}, {}), Catch::Contains("is not valid JSON"));
    CHECK_THAT(error_of([&] { render(jinja, {}); }), Catch::Contains("no messages"));
  }
}

TEST_CASE("chat: JSON as Python writes it") {
  CHECK(python_json(R"( {"b":[1,2.0,-0,1E2],"a":"\u00e9\/","b":{}} )", "J") == R"({"b": {}, "a": "é/"})");
  CHECK(python_json("[1,2.0,-0,1E2,-1.5e-7]", "J") == "[1, 2.0, 0, 100.0, -1.5e-07]");
  CHECK(python_json("18446744073709551616", "J") == "18446744073709551616");
  const auto problem = [](const std::string& text) { return error_of([&] { python_json(text, "J"); }); };
  for (const char* bad : {"{", "[1] 2", "NaN", "1e999", "\"\xff\"", "'a'", "", "01", "[1,]", "\"\\ud800\""}) {
    CHECK_THAT(problem(bad), Catch::Contains("J: is not valid JSON") && !Catch::Contains("\n"));
  }
  CHECK_THAT(problem(std::string(100'000, '[')), Catch::Contains("80 levels"));
  CHECK(problem(std::string(80, '[') + std::string(80, ']')).empty());
  CHECK_THAT(problem(std::string(81, '[') + std::string(81, ']')), Catch::Contains("80 levels"));
}
