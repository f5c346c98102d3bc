// plumbline-token-differential: random texts through the native tokenizer and the reference's, or with
// --texts written down with the native ids for a third party (tools/token_differential.py runs both). Exit
// status 0 where all agree, 1 where a text does not, 2 for bad usage.
#include <chrono>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bench/random_texts.h"
#include "harness/encoding_stages.h"
#include "harness/error.h"
#include "harness/report.h"
#include "impl/tokenizer.h"
#include "reference/tokenizer.h"
#include "reference/unicode_exclusions.h"

namespace plumbline::differential {
namespace {

struct Options {
  std::string model, reference, json;
  std::uint64_t count = 10'000'000, seed = 1, from = 0;
  double seconds = 0;  // 0: no limit
  bool texts = false;
};

struct Counts {
  std::uint64_t texts = 0, compared = 0, mismatches = 0, bytes = 0;
  std::map<std::string, std::uint64_t> excluded;  // by kind
  nlohmann::json first = nlohmann::json::array();
};

std::string kind_of(reference::ExclusionKind kind) {
  return kind == reference::ExclusionKind::split         ? "split"
         : kind == reference::ExclusionKind::normal_form ? "normal form"
                                                         : "word";
}

std::vector<TokenId> ids_of(const Tokenizer& tokenizer, const std::string& text) {
  return tokenizer.encode(text);
}

void note_mismatch(Counts& counts, std::uint64_t number, const std::string& text, const Tokenizer& native,
                   const Tokenizer& reference) {
  constexpr std::size_t kShown = 20;
  ++counts.mismatches;
  if (counts.first.size() == kShown) return;
  const auto parting = first_parting(reference.encode_in_stages(text, {}), native.encode_in_stages(text, {}));
  counts.first.push_back({{"number", number},
                          {"code_points", code_points(text, 80)},
                          {"parts_at", parting ? to_string(*parting) : "nowhere"}});
}

Counts compare(const Options& options) {
  const auto native = native::load_tokenizer(options.model);
  const auto reference =
      reference::load_tokenizer(options.reference.empty() ? options.model : options.reference);
  const auto begin = std::chrono::steady_clock::now();
  Counts counts;
  for (std::uint64_t number = options.from; number < options.from + options.count; ++number) {
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    if (options.seconds > 0 && taken.count() > options.seconds) break;
    const std::string text = random_text(options.seed, number);
    ++counts.texts;
    counts.bytes += text.size();
    const std::vector<TokenId> ids = ids_of(*native, text);
    if (const auto exclusion = reference::excluded(text)) {
      ++counts.excluded[kind_of(exclusion->kind)];
      continue;
    }
    ++counts.compared;
    if (ids != ids_of(*reference, text)) note_mismatch(counts, number, text, *native, *reference);
  }
  return counts;
}

// A line for each text: a JSON array of the text and its ids.
void write_texts(const Options& options) {
  const auto native = native::load_tokenizer(options.model);
  for (std::uint64_t number = options.from; number < options.from + options.count; ++number) {
    const std::string text = random_text(options.seed, number);
    std::cout << '[' << nlohmann::json(text).dump();
    for (const TokenId id : native->encode(text)) std::cout << ',' << id;
    std::cout << "]\n";
  }
}

// Why texts are not asked of the reference: names the libraries and their Unicode.
std::set<std::string> reasons() {
  std::set<std::string> texts;
  for (const reference::ExcludedRange& range : reference::exclusions()) texts.insert(range.reason);
  return texts;
}

int run(const Options& options) {
  if (options.texts) {
    write_texts(options);
    return 0;
  }
  const auto begin = std::chrono::steady_clock::now();
  const Counts counts = compare(options);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (!options.json.empty()) {
    const nlohmann::json report{{"seed", options.seed},          {"from", options.from},
                                {"texts", counts.texts},         {"bytes", counts.bytes},
                                {"compared", counts.compared},   {"excluded", counts.excluded},
                                {"excluded_because", reasons()}, {"mismatches", counts.mismatches},
                                {"first", counts.first},         {"seconds", seconds.count()}};
    write_file_atomically(options.json, report.dump(1) + "\n");
  }
  for (const auto& each : counts.first) std::cout << each.dump() << '\n';
  std::uint64_t excluded = 0;
  for (const auto& [kind, count] : counts.excluded) excluded += count;
  std::cout << fmt::format(
      "{} texts by seed {}: {} compared, {} mismatches, {} hold what the reference does not know; {:.0f} s\n",
      counts.texts, options.seed, counts.compared, counts.mismatches, excluded, seconds.count());
  return counts.mismatches == 0 && counts.compared > 0 ? 0 : 1;
}

}  // namespace
}  // namespace plumbline::differential

int main(int argc, char** argv) {
  using namespace plumbline;
  differential::Options options;
  CLI::App app("Random texts through both sides' tokenizers");
  app.add_option("--model", options.model, "checkpoint with a tokenizer")->required();
  app.add_option("--reference", options.reference, "another one for the reference: to see it fail");
  app.add_option("--count", options.count, "texts (10000000)");
  app.add_option("--seed", options.seed, "seed (1)");
  app.add_option("--from", options.from, "number of the first text (0)");
  app.add_option("--seconds", options.seconds, "end after so many seconds");
  app.add_option("--json", options.json, "where the counts go");
  app.add_flag("--texts", options.texts, "write texts and native ids as JSON lines instead");
  try {
    app.parse(argc, argv);
    return differential::run(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const Error& error) {
    std::cerr << "plumbline-token-differential: " << error.what() << '\n';
    return 2;
  }
}
