#include <iostream>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/verbs.h"
#include "impl/tokenizer.h"

namespace plumbline::cli {
namespace {

struct Options {
  std::string model, text, file, jsonl, decode, engine = "native", standard_input, invalid = "refuse";
  bool pieces = false, stages = false, ids = false, count = false, plain_special = false,
       skip_special = false;
  int threads = 0;
};

EncodeOptions encode_options(const Options& options) {
  return {.invalid_utf8 = options.invalid == "replace" ? InvalidUtf8::replace : InvalidUtf8::refuse,
          .parse_special = !options.plain_special};
}

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

void print_parts(const char* stage, const std::vector<EncodingStages::Part>& parts) {
  for (const auto& [text, added] : parts)
    std::cout << fmt::format("{:<12}{}{}\n", stage, quoted(text), added ? fmt::format("  = {}", *added) : "");
}

void print_stages(const EncodingStages& stages) {
  print_parts("added", stages.cut);
  print_parts("normalised", stages.normalized);
  for (const auto& [text, ids] : stages.pieces)
    std::cout << fmt::format("{:<12}{}  = {}\n", "piece", quoted(text), join(ids));
}

void print(const Tokenizer& tokenizer, const std::string& text, const Options& options) {
  const EncodeOptions how = encode_options(options);
  if (options.stages) return print_stages(tokenizer.encode_in_stages(text, how));
  if (options.count) {
    std::cout << tokenizer.count(text, how) << '\n';
    return;
  }
  const std::vector<TokenId> ids = tokenizer.encode(text, how);
  if (options.pieces) {
    for (const TokenId id : ids)
      std::cout << fmt::format("{:>7}  {}\n", id, quoted(tokenizer.token_bytes(id)));
  }
  if (options.ids || !options.pieces) std::cout << join(ids) << '\n';
}

std::vector<std::string> read_json_lines(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (int number = 1; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string where = fmt::format("{}:{}", path, number);
    if (end - begin > native::kLongestText) throw Error("is longer than 2 GiB", where, "one string a line");
    const nlohmann::json line = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
    if (!line.is_string()) throw Error("is not a JSON string", where, "one string a line");
    lines.push_back(line.get<std::string>());
    begin = end + 1;
  }
  return lines;
}

// Nothing is printed before every line has been read and encoded.
void print_json_lines(const Tokenizer& tokenizer, const Options& options) {
  const std::vector<std::string> texts = read_json_lines(options.jsonl);
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const int threads = options.threads > 0 ? options.threads : static_cast<int>(cores);
  for (const auto& ids : native::encode_batch(tokenizer, texts, encode_options(options), threads))
    std::cout << (options.count ? std::to_string(ids.size()) : join(ids)) << '\n';
}

// Standard input, but no more than a tokenizer takes.
std::string read_standard_input() {
  std::string text;
  std::vector<char> block(std::size_t{1} << 16);
  while (std::cin.read(block.data(), static_cast<std::streamsize>(block.size())) || std::cin.gcount() > 0) {
    text.append(block.data(), static_cast<std::size_t>(std::cin.gcount()));
    if (text.size() > native::kLongestText) throw Error("is longer than 2 GiB", "standard input");
  }
  return text;
}

int run(const CLI::App& command, const Options& options) {
  const auto given = [&](const char* name) { return command.count(name) > 0 ? 1 : 0; };
  const int sources =
      given("--text") + given("--file") + given("--jsonl") + given("--decode") + given("input");
  if (sources != 1) throw Error("give one of --text, --file, --jsonl, --decode and -", "tokenize");
  if (given("input") != 0 && options.standard_input != "-") {
    throw Error("unexpected '" + options.standard_input + "'", "tokenize",
                "- reads standard input; --file names a file");
  }
  if (given("--jsonl") != 0 && (options.pieces || options.stages)) {
    throw Error("--jsonl prints ids or, with --count, their number", "tokenize");
  }
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(options.engine, options.model);
  if (given("--jsonl") != 0) {
    print_json_lines(*tokenizer, options);
  } else if (given("--decode") != 0) {
    std::cout << tokenizer->decode(parse_tokens(options.decode), options.skip_special) << '\n';
  } else if (given("--file") != 0) {
    print(*tokenizer, read_file(options.file), options);
  } else {
    print(*tokenizer, given("input") != 0 ? read_standard_input() : options.text, options);
  }
  return 0;
}

}  // namespace

Verb add_tokenize(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "Text to token ids, and back");
  command->footer(
      "Example:\n  plumbline tokenize --model fixtures/models/tiny --text 'Hello world' --pieces");
  command->add_option("--model", options->model, "Checkpoint directory")->required();
  command->add_option("--text", options->text, "The text itself");
  command->add_option("--file", options->file, "A file of text");
  command->add_option("--jsonl", options->jsonl,
                      "A file with one JSON string a line; prints one line of ids each");
  command->add_option("input", options->standard_input, "- reads the text from standard input");
  command->add_option("--decode", options->decode, "Token ids, as 1,2,3: prints their text");
  command->add_option("--engine", options->engine, "native or reference")->capture_default_str();
  command->add_option("--invalid-utf8", options->invalid, "refuse, or replace by U+FFFD")
      ->check(CLI::IsMember({"refuse", "replace"}))
      ->capture_default_str();
  command->add_option("--threads", options->threads, "For --jsonl (default: one per core)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--plain-special", options->plain_special,
                    "Special tokens in the text are text like any other");
  command->add_flag("--skip-special", options->skip_special, "--decode leaves out special tokens");
  CLI::Option* pieces = command->add_flag("--pieces", options->pieces, "One line a token: id and bytes");
  CLI::Option* stages = command->add_flag(
      "--stages", options->stages, "How the text became ids: added tokens, normal form, pieces, merges");
  CLI::Option* count = command->add_flag("--count", options->count, "The number of ids alone");
  command->add_flag("--ids", options->ids, "The ids alone, separated by spaces (the default)");
  stages->excludes(pieces)->excludes(count);
  count->excludes(pieces);
  return {command, [command, options] { return run(*command, *options); }};
}

}  // namespace plumbline::cli
