#include "phases/support/token_sets.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/parallel.h"
#include "harness/weight_hash.h"
#include "phases/support/sides.h"

namespace plumbline::phases {
namespace {

constexpr std::int64_t kBlock = 4096;  // as in the goldens

TokenSet scalar_values(std::string name, std::string before, std::string after) {
  return {std::move(name), 0x110000, [=](std::int64_t i) -> std::optional<Question> {
            if (i >= 0xD800 && i < 0xE000) return std::nullopt;
            return Question{before + utf8_of(static_cast<std::uint32_t>(i)) + after};
          }};
}

// The golden hashes of a set, by block; null where there are none. A set of another size has none that fit.
const nlohmann::json* golden_hashes(const std::string& name, std::int64_t count) {
  const nlohmann::json& file = golden_token_sets();
  if (file.is_null()) return nullptr;
  const nlohmann::json& set = file.at("sets").at(name);
  require(set.at("block") == kBlock, "token sets: blocks of another size");
  return set.at("count") == count ? &set.at("sha256") : nullptr;
}

struct Item {
  Question question;
  Answer native, reference;
  std::optional<std::string> excluded;
};

const Answer& natives(const Item& item) {
  return item.native;
}
// Where the reference is no judge, the native side's answer stands in for its own.
const Answer& references(const Item& item) {
  return item.excluded ? item.native : item.reference;
}
using AnswerOf = const Answer& (*)(const Item&);

std::string hash_of(const std::vector<Item>& items, AnswerOf answer_of) {
  std::string bytes;
  for (const Item& item : items) bytes += hashed_form(answer_of(item), item.question.decoding);
  return sha256_of(bytes);
}

// Where neither side has the golden hash, it counts as one mismatch of each.
void judge_unknown(CategoryResult& result, const std::vector<Item>& items, const std::string& block) {
  auto at = std::ranges::find_if(
      items, [](const Item& item) { return !item.excluded && item.native != item.reference; });
  const bool they_differ = at != items.end();
  if (!they_differ) at = items.begin();
  const std::string remark =
      fmt::format("{}: neither side has the golden SHA-256{}", block,
                  they_differ ? "" : ", and both sides agree on all that the reference may judge");
  for (const auto& [pair, side] : {std::pair(SidePair::native_golden, &Item::native),
                                   std::pair(SidePair::reference_golden, &Item::reference)}) {
    PairResult& of_pair = result.pairs[pair];
    of_pair.compared += static_cast<std::int64_t>(items.size());
    ++of_pair.mismatches;
    const bool by_native = side == &Item::native;
    if (!of_pair.first) {
      of_pair.first =
          TokenMismatch{at->question, by_native ? at->reference : at->native, (*at).*side, remark};
    }
  }
}

// The side that has the golden hash is as good as the golden: the other one's mismatches are against it.
void judge_block(CategoryResult& result, const std::vector<Item>& items, const std::string& golden,
                 const std::string& block) {
  const AnswerOf truth = hash_of(items, natives) == golden      ? natives
                         : hash_of(items, references) == golden ? references
                                                                : nullptr;
  if (truth == nullptr) return judge_unknown(result, items, block);
  for (const Item& item : items) {
    result.pairs[SidePair::native_golden].add(item.question, truth(item), item.native);
    if (item.excluded) continue;
    result.pairs[SidePair::reference_golden].add(item.question, truth(item), item.reference);
  }
}

void compare_sides(CategoryResult& result, const std::vector<Item>& items) {
  for (const Item& item : items) {
    ++result.texts;
    if (item.excluded) {
      ++result.excluded[*item.excluded];
    } else {
      result.pairs[SidePair::native_reference].add(item.question, item.reference, item.native);
    }
  }
}

Item ask_both(Question question) {
  Item item;
  item.native = ask(*native_tokenizer(), question);
  item.reference = ask(*reference_tokenizer(), question);
  item.excluded = reference_excluded(question);
  item.question = std::move(question);
  return item;
}

CategoryResult compare_block(const TokenSet& set, std::int64_t begin, const nlohmann::json* golden) {
  const std::int64_t end = std::min(begin + kBlock, set.count);
  std::vector<Item> items;
  for (std::int64_t i = begin; i < end; ++i) {
    if (std::optional<Question> question = set.question(i)) items.push_back(ask_both(std::move(*question)));
  }
  CategoryResult result{set.name, 0, {}, {}};
  compare_sides(result, items);
  if (golden != nullptr && !items.empty()) {
    judge_block(result, items, golden->at(static_cast<std::size_t>(begin / kBlock)),
                fmt::format("{} to {}", begin, end - 1));
  }
  return result;
}

bool asked_quickly(std::int64_t block) {
  return block < 2 || block % 16 == 15;
}

std::string u32(std::size_t value) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift & 0xFF);
  return bytes;
}

}  // namespace

std::string utf8_of(std::uint32_t c) {
  if (c < 0x80) return {static_cast<char>(c)};
  constexpr unsigned kLead[] = {0, 0xC0, 0xE0, 0xF0};
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  std::string text{static_cast<char>(kLead[more] | c >> (6 * more))};
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | (c >> (6 * i) & 0x3F));
  return text;
}

std::string hashed_form(const Answer& answer, bool decoding) {
  if (decoding) return u32(answer.text.size()) + answer.text;
  std::string bytes = u32(answer.ids.size());
  for (const TokenId id : answer.ids) bytes += u32(static_cast<std::uint32_t>(id));
  return bytes;
}

std::string sha256_of(std::string_view bytes) {
  return sha256_hex(std::as_bytes(std::span(bytes)));
}

std::vector<TokenSet> scalar_value_sets() {
  return {scalar_values("every scalar value alone", "", ""),
          scalar_values("every scalar value between letters", "a", "b"),
          scalar_values("every scalar value after a space", " ", "")};
}

TokenSet ascii_pairs() {
  return {"all pairs of ASCII characters", 128 * 128, [](std::int64_t i) {
            return Question{std::string{static_cast<char>(i / 128), static_cast<char>(i % 128)}};
          }};
}

TokenSet token_text_set() {
  return {"every token's text", native_tokenizer()->size(), [](std::int64_t id) -> std::optional<Question> {
            const Answer decoded =
                decode_with(*native_tokenizer(), std::array{static_cast<TokenId>(id)}, false);
            if (decoded.refused) return std::nullopt;  // an id that no token has
            return Question{decoded.text};
          }};
}

TokenSet token_decoding_set() {
  return {"every token decoded", native_tokenizer()->size(),
          [](std::int64_t id) { return Question{.decoding = true, .ids = {static_cast<TokenId>(id)}}; }};
}

CategoryResult compare_set(const TokenSet& set, bool quick) {
  const nlohmann::json* golden = golden_hashes(set.name, set.count);
  std::vector<std::int64_t> begins;
  for (std::int64_t begin = 0; begin < set.count; begin += kBlock) {
    if (!quick || asked_quickly(begin / kBlock)) begins.push_back(begin);
  }
  std::vector<CategoryResult> blocks(begins.size());
  parallel_for(begins.size(), 0, [&](std::size_t i) { blocks[i] = compare_block(set, begins[i], golden); });
  CategoryResult result{set.name, 0, {}, {}};
  for (CategoryResult& block : blocks) result.append(std::move(block));
  return result;
}

CategoryResult compare_token_bytes() {
  CategoryResult result{"every token's bytes", 0, {}, {}};
  const auto bytes_of = [](const Tokenizer& tokenizer, TokenId id) {
    try {
      return Answer{{}, tokenizer.token_bytes(id)};
    } catch (const Error& error) {
      return Answer{{}, error.what(), true};
    }
  };
  const std::int64_t size = std::max(native_tokenizer()->size(), reference_tokenizer()->size());
  for (TokenId id = 0; id < size; ++id) {
    ++result.texts;
    result.pairs[SidePair::native_reference].add({.decoding = true, .ids = {id}},
                                                 bytes_of(*reference_tokenizer(), id),
                                                 bytes_of(*native_tokenizer(), id));
  }
  return result;
}

CategoryResult compare_decoding(const std::string& category, const std::vector<std::vector<TokenId>>& lists,
                                bool skip_special_tokens, const std::string& golden_sha256) {
  std::vector<Item> items;
  for (const std::vector<TokenId>& ids : lists) {
    items.push_back(ask_both({.decoding = true, .ids = ids, .skip_special_tokens = skip_special_tokens}));
  }
  CategoryResult result{category, 0, {}, {}};
  compare_sides(result, items);
  if (!golden_sha256.empty()) judge_block(result, items, golden_sha256, "all");
  return result;
}

}  // namespace plumbline::phases
