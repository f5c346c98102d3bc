#include <iostream>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/verbs.h"

namespace plumbline::cli {
namespace {

struct Options {
  std::string model, text, file, jsonl, engine = "native", standard_input;
  bool pieces = false, ids = false;
};

// One line for a piece of text; bytes that are no text by themselves (half a character) are shown in
// hexadecimal.
std::string quoted(const std::string& bytes) {
  try {
    return nlohmann::json(bytes).dump();
  } catch (const nlohmann::json::type_error&) {
    std::string hex;
    for (const char c : bytes) hex += fmt::format("<0x{:02X}>", static_cast<unsigned char>(c));
    return hex;
  }
}

void print(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, const Options& options) {
  if (options.pieces) {
    for (const TokenId id : ids)
      std::cout << fmt::format("{:>7}  {}\n", id, quoted(tokenizer.token_bytes(id)));
  }
  if (options.ids || !options.pieces) std::cout << join(ids) << '\n';
}

void print_json_lines(const Tokenizer& tokenizer, const std::string& text, const std::string& where) {
  std::size_t begin = 0;
  std::vector<std::string> lines;  // nothing is printed before every line has been read
  for (int number = 1; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const nlohmann::json line = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
    if (!line.is_string())
      throw Error("is not a JSON string", fmt::format("{}:{}", where, number), "one string a line");
    lines.push_back(join(tokenizer.encode(line.get<std::string>())));
    begin = end + 1;
  }
  for (const std::string& line : lines) std::cout << line << '\n';
}

int run(const CLI::App& command, const Options& options) {
  const auto given = [&](const char* name) { return command.count(name) > 0 ? 1 : 0; };
  const int sources = given("--text") + given("--file") + given("--jsonl") + given("input");
  if (sources != 1) throw Error("give one of --text, --file, --jsonl and -", "tokenize");
  if (given("input") != 0 && options.standard_input != "-") {
    throw Error("unexpected '" + options.standard_input + "'", "tokenize",
                "- reads standard input; --file names a file");
  }
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(options.engine, options.model);
  if (given("--jsonl") != 0) {
    print_json_lines(*tokenizer, read_file(options.jsonl), options.jsonl);
    return 0;
  }
  std::string text = options.text;
  if (given("--file") != 0) text = read_file(options.file);
  if (given("input") != 0) text.assign(std::istreambuf_iterator<char>(std::cin), {});
  print(*tokenizer, tokenizer->encode(text), options);
  return 0;
}

}  // namespace

Verb add_tokenize(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "Text to token ids");
  command->footer(
      "Example:\n  plumbline tokenize --model fixtures/models/tiny --text 'Hello world' --pieces");
  command->add_option("--model", options->model, "Checkpoint directory")->required();
  command->add_option("--text", options->text, "The text itself");
  command->add_option("--file", options->file, "A file of text");
  command->add_option("--jsonl", options->jsonl,
                      "A file with one JSON string a line; prints one line of ids each");
  command->add_option("input", options->standard_input, "- reads the text from standard input");
  command->add_option("--engine", options->engine, "native or reference")->capture_default_str();
  command->add_flag("--pieces", options->pieces, "One line a token: id and bytes");
  command->add_flag("--ids", options->ids, "The ids alone, separated by spaces (the default)");
  return {command, [command, options] { return run(*command, *options); }};
}

}  // namespace plumbline::cli
