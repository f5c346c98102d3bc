#include <catch2/catch.hpp>

#include "harness/error.h"
#include "reference/jinja/json.h"
#include "reference/jinja/render.h"
#include "tests/reference/chat_support.h"
#include "tests/reference/fixtures.h"

using namespace plumbline;
using namespace plumbline::reference;
using Catch::Contains;
using test::error_of;

namespace {

std::string run(const std::string& program, const jinja::Dict& variables = {}) {
  return jinja::render(jinja::parse(program, "FILE"), variables, "FILE");
}

std::string refusal(const std::string& program) {
  return error_of([&] { run(program); });
}

}  // namespace

TEST_CASE("jinja: small templates render as transformers renders them", "[reference][jinja]") {
  const nlohmann::json golden = test::read_json(test::fixture("goldens/chat/jinja.json"));
  const std::vector<ChatMessage> messages = test::messages_of(golden.at("messages"));
  const ChatOptions options = test::options_of(golden);
  int rendered = 0, refused = 0;
  for (const nlohmann::json& each : golden.at("cases")) {
    const std::string program = each.at("template");
    INFO(program);
    if (each.at("text").is_null()) {
      CHECK_THROWS_AS(test::render(program, messages, options), Error);
      ++refused;
    } else {
      std::string text;
      CHECK_NOTHROW(text = test::render(program, messages, options));
      CHECK(text == each.at("text").get<std::string>());
      ++rendered;
    }
  }
  CHECK(rendered > 80);
  CHECK(refused > 20);
}

TEST_CASE("jinja: what is not known is refused by its name and line", "[reference][jinja]") {
  const auto [program, named] = GENERATE(table<std::string, std::string>({
      {"{% macro f() %}{% endmacro %}", "'macro'"},
      {"{% call f() %}{% endcall %}", "'call'"},
      {"{% include 'x' %}", "'include'"},
      {"{% raw %}{{ x }}{% endraw %}", "'raw'"},
      {"{% filter upper %}a{% endfilter %}", "'filter'"},
      {"{{ strftime_now('%Y') }}", "'strftime_now'"},
      {"{{ [1] | tojson(indent=2) }}", "'indent'"},
      {"{{ [1] | batch(2) }}", "'batch'"},
      {"{{ 1 is callable }}", "'callable'"},
      {"{{ 'a'.zfill(3) }}", "'zfill'"},
      {"{{ {'items': 1}.items }}", "'items'"},
      {"{{ 1 < 2 < 3 }}", "chain"},
      {"{{ 2 ** 3 }}", "'**'"},
      {"{{ (1, 2) }}", "tuple"},
      {"{% set a, b = x %}", "'set' of several"},
      {"{% for a in b recursive %}{% endfor %}", "recursive"},
      {"{{ [1, 2] }}", "a list as text"},
      {"{{ f(*x) }}", "star"},
      {"{{ 'é' | upper }}", "beyond ASCII"},
  }));
  INFO(program);
  CHECK_THAT(refusal("\n\n" + program), Contains(named) && Contains("FILE: chat_template, line 3"));
}

TEST_CASE("jinja: a template that works, grows or nests without end is refused", "[reference][jinja]") {
  const std::string thousand = "{% for a in range(1000) %}", end = "{% endfor %}";
  CHECK_THAT(refusal(thousand + thousand + thousand + "x" + end + end + end), Contains("too much"));
  CHECK_THAT(refusal("{% set n = namespace(s='x') %}" + thousand + "{% set n.s = n.s ~ n.s %}" + end),
             Contains("too much"));
  CHECK_THAT(refusal("{% set n = namespace(l=[1]) %}" + thousand + "{% set n.l = n.l + n.l %}" + end),
             Contains("too much"));
  CHECK_THAT(refusal("{% set n = namespace(l=[]) %}" + thousand + "{% set n.l = [n.l] %}" + end),
             Contains("nest too deep"));
  CHECK_THAT(refusal("{% set n = namespace() %}{% set n.n = n %}"), Contains("namespace within"));
  CHECK_THAT(refusal("{{ range(1000000) | length }}"), Contains("too long"));
  const auto many = [](const std::string& text) {
    std::string out;
    for (int i = 0; i < 100'000; ++i) out += text;
    return out;
  };
  for (const auto& [opening, closing] :
       {std::pair("(", ")"), std::pair("[", "]"), std::pair("{'a':", "}"), std::pair("not ", ""),
        std::pair("-", ""), std::pair("1 if 1 else ", ""), std::pair("a[", "]"), std::pair("f(", ")")}) {
    CHECK_THAT(refusal("{{ " + many(opening) + "1" + many(closing) + " }}"), Contains("too deep"));
  }
  for (const char* more : {".a", "[0]", "+1", "~1", "|trim", " is odd", " or 1"}) {
    CHECK_THAT(refusal("{{ a" + many(more) + " }}"), Contains("too deep"));
  }
  CHECK_THAT(refusal(many("{% if 1 %}")), Contains("too deep"));
  CHECK_THAT(refusal("{% if 1 %}" + many("{% elif 1 %}")), Contains("does not end"));
}

TEST_CASE("jinja: cut anywhere, a template renders or is refused in one line", "[reference][jinja]") {
  const std::string whole = test::read_text("templates/chatml_tools.jinja");
  const std::vector<ChatMessage> messages{{"user", "Hi"}, {"tool", "1"}};
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const std::string& broken :
         {whole.substr(0, at), whole.substr(at), whole.substr(0, at) + "{" + whole.substr(at),
          whole.substr(0, at) + whole.substr(at + 1)}) {
      const std::string message = error_of([&] { test::render(broken, messages, {}); });
      CHECK(message.find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("jinja: JSON is read and written as Python does it", "[reference][jinja]") {
  const auto written = [](const char* text) { return jinja::write_json(jinja::read_json(text, "J")); };
  CHECK(written(R"( {"a":[1,2.0,-0,1E2],"b":"\u00e9\/"} )") == R"({"a": [1, 2.0, 0, 100.0], "b": "é/"})");
  CHECK(written("18446744073709551616") == "18446744073709551616");
  const auto problem = [&](const std::string& text) { return error_of([&] { written(text.c_str()); }); };
  CHECK_THAT(problem("{"), Contains("J: is not valid JSON"));
  CHECK_THAT(problem("[1] 2"), Contains("not valid JSON"));
  CHECK_THAT(problem("NaN"), Contains("not valid JSON"));
  CHECK_THAT(problem("1e999"), Contains("not valid JSON"));
  CHECK_THAT(problem("\"\xff\""), Contains("not valid JSON"));
  CHECK_THAT(problem(std::string(100'000, '[')), Contains("nests too deep"));
  CHECK(problem(std::string(80, '[') + std::string(80, ']')).empty());
  CHECK_THAT(problem(std::string(81, '[') + std::string(81, ']')), Contains("nests too deep"));
}
