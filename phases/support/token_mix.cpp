#include "phases/support/token_mix.h"

#include <array>
#include <chrono>

#include <fmt/format.h>

#include "harness/draws.h"
#include "harness/encoding_stages.h"
#include "harness/error.h"
#include "harness/parallel.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "phases/support/token_sets.h"

namespace plumbline::phases {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

struct Pools {
  std::vector<std::string> plain;  // case 2.1
  std::vector<std::string> all;
};
const Pools& pools() {
  static const Pools made = [] {
    Pools pools;
    for (const DrawnTexts& drawn : drawn_texts()) {
      pools.all.insert(pools.all.end(), drawn.texts.begin(), drawn.texts.end());
      if (drawn.case_id == "2.1")
        pools.plain.insert(pools.plain.end(), drawn.texts.begin(), drawn.texts.end());
    }
    return pools;
  }();
  return made;
}

std::string repeated(std::string_view what, std::size_t times, std::string text = {}) {
  for (std::size_t i = 0; i < times; ++i) text += what;
  return text;
}

// `make` turns a draw into what is appended.
std::string drawn(std::size_t times, const auto& make) {
  Draws draws(1);
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += make(draws.next());
  return text;
}

// A beginning of the text, cut between characters.
std::string_view beginning(std::string_view text, std::size_t bytes) {
  if (bytes >= text.size()) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

constexpr std::size_t kLongestPiece = 10'000;  // of which the reference may be asked in a reasonable time

// The reference is asked for the whole, unless that is one long word: where it has the golden ids, the
// difference can be shown.
TokenMismatch explained(const std::string& text, const Answer& native, const nlohmann::json& golden) {
  if (text.find('\n') > kLongestPiece || text.find_first_not_of('\n') > 0) {
    return {Question{std::string(beginning(text, 200))},
            {},
            native,
            fmt::format("{} tokens where the golden has {}, or other ids", native.ids.size(),
                        golden.at("tokens").get<std::int64_t>())};
  }
  Answer reference = encode_with(*reference_tokenizer(), text);
  if (sha256_of(hashed_form(reference, false)) == golden.at("ids_sha256")) {
    return {Question{text}, std::move(reference), native};
  }
  return {Question{std::string(beginning(text, 200))},
          {},
          native,
          fmt::format("{} tokens where the golden has {}, or other ids; the reference differs too, with {}",
                      native.ids.size(), golden.at("tokens").get<std::int64_t>(), reference.ids.size())};
}

// Against what the goldens say of a text that they do not hold.
void compare_with_golden(CategoryResult& result, const std::string& text, const Answer& native,
                         const nlohmann::json& golden) {
  if (golden.at("text_sha256") != sha256_of(text)) {
    throw Error("was made of another text than the one made here",
                "tokenization_sets.json: " + result.category, "remake the goldens");
  }
  PairResult& pair = result.pairs[SidePair::native_golden];
  ++pair.compared;
  if (golden.at("ids_sha256") == sha256_of(hashed_form(native, false))) return;
  ++pair.mismatches;
  if (!pair.first) pair.first = explained(text, native, golden);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void show_speed(std::size_t bytes, std::size_t tokens, double seconds) {
  add_evidence({"Mixed text as one text: native, one thread, on this machine as busy as it was",
                {"bytes", "tokens", "seconds", "MB/s"},
                {{std::to_string(bytes), std::to_string(tokens), fmt::format("{:.2f}", seconds),
                  fmt::format("{:.1f}", static_cast<double>(bytes) / 1e6 / seconds)}}});
}

}  // namespace

std::string mixed_block(std::uint64_t number) {
  constexpr std::array kSeparators{" ", "\n", "", "  ", "\n\n", ". "};
  Draws draws(number);
  std::string text = fmt::format("Block {}:\n", number);
  while (text.size() < kMiB) {
    const std::vector<std::string>& pool = draws.next() % 2 == 0 ? pools().plain : pools().all;
    text += pool[draws.below(pool.size())];
    text += kSeparators[draws.below(kSeparators.size())];
  }
  return text + '\n';
}

std::vector<std::pair<std::string, std::string>> long_words() {
  return {
      {"one letter", std::string(kMiB, 'a')},
      {"random letters", drawn(kMiB, [](std::uint64_t r) { return static_cast<char>('a' + r % 26); })},
      {"random ideographs",
       drawn(kMiB / 3,
             [](std::uint64_t r) { return utf8_of(0x4E00 + static_cast<std::uint32_t>(r % 20000)); })},
      {"one accent over a letter, again and again", repeated("\u0301", kMiB / 2, "a")},
      {"marks of falling and rising classes", repeated("\u0301\u0323", kMiB / 4, "a")},
      {"spaces", std::string(kMiB, ' ')},
      {"line ends", std::string(kMiB, '\n')},
      {"digits", drawn(kMiB, [](std::uint64_t r) { return static_cast<char>('0' + r % 10); })},
      {"signs", repeated("!?", kMiB / 2)},
  };
}

std::vector<CategoryResult> compare_mixed_text(std::uint64_t blocks, std::size_t reference_bytes) {
  const nlohmann::json& golden = golden_token_sets();
  std::vector<std::string> texts(blocks);
  std::vector<Answer> answers(blocks);
  pools();  // made once, before threads ask for it
  parallel_for(blocks, 0, [&](std::size_t number) {
    texts[number] = mixed_block(number);
    answers[number] = encode_with(*native_tokenizer(), texts[number]);
  });
  CategoryResult each{"mixed text in blocks of 1 MiB", 0, {}, {}}, whole{"mixed text as one text", 1, {}, {}},
      sample{"mixed text, its beginning", 0, {}, {}};
  std::string text;
  Answer in_parts;
  for (std::size_t number = 0; number < blocks; ++number) {
    ++each.texts;
    if (!golden.is_null()) {
      compare_with_golden(each, texts[number], answers[number], golden.at("mixed_text").at(number));
    }
    text += texts[number];
    in_parts.ids.insert(in_parts.ids.end(), answers[number].ids.begin(), answers[number].ids.end());
  }
  compare(sample, Question{std::string(beginning(texts.at(0), reference_bytes))}, nullptr);
  const auto begin = std::chrono::steady_clock::now();
  const Answer at_once = encode_with(*native_tokenizer(), text);
  show_speed(text.size(), at_once.ids.size(), seconds_since(begin));
  PairResult& pair = whole.pairs[SidePair::native_itself];
  ++pair.compared;
  if (at_once != in_parts) {
    ++pair.mismatches;
    pair.first = TokenMismatch{Question{std::string(beginning(text, 200))}, in_parts, at_once,
                               "as one text: " + ids_apart(in_parts.ids, at_once.ids)};
  }
  return {std::move(each), std::move(whole), std::move(sample)};
}

std::vector<CategoryResult> compare_long_words(std::size_t reference_bytes) {
  std::vector<CategoryResult> results;
  const nlohmann::json& golden = golden_token_sets();
  for (const auto& [name, text] : long_words()) {
    CategoryResult result{"1 MB: " + name, 0, {}, {}};
    if (!golden.is_null()) {
      compare_with_golden(result, text, encode_with(*native_tokenizer(), text),
                          golden.at("long_words").at(name));
    }
    compare(result, Question{std::string(beginning(text, reference_bytes))}, nullptr);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace plumbline::phases
