#include "impl/tokenization/bpe.h"

#include <algorithm>
#include <array>
#include <random>
#include <string>

#include <catch2/catch.hpp>

using namespace plumbline;
using namespace plumbline::native;

namespace {

using Entry = MergeTable::Entry;

// Bytes are their own ids; tokens from 256 on come from merges, given by the pairs of ids that make them.
struct Made {
  Vocabulary vocabulary;
  std::array<TokenId, 256> bytes{};
  std::vector<Entry> merges;

  explicit Made(const std::vector<std::pair<TokenId, TokenId>>& pairs) {
    for (int byte = 0; byte < 256; ++byte) {
      bytes[static_cast<std::size_t>(byte)] = byte;
      vocabulary.set(byte, std::string(1, static_cast<char>(static_cast<unsigned char>(byte))));
    }
    for (const auto& [left, right] : pairs) {
      const auto id = static_cast<TokenId>(256 + merges.size());
      merges.push_back({left, right, id});
      vocabulary.set(id, std::string(vocabulary.bytes(left)) + std::string(vocabulary.bytes(right)));
    }
  }
  std::vector<TokenId> encode(std::string_view text) const {
    std::vector<TokenId> ids;
    BytePairEncoder(vocabulary, bytes, merges).encode(text, ids);
    return ids;
  }
};

// Joins the leftmost pair of the lowest rank; false when there is none.
bool join_one(const Made& made, std::vector<TokenId>& ids) {
  for (const Entry& merge : made.merges) {
    const std::array<TokenId, 2> pair{merge.left, merge.right};
    const auto found = std::search(ids.begin(), ids.end(), pair.begin(), pair.end());
    if (found == ids.end()) continue;
    *found = merge.merged;
    ids.erase(found + 1);
    return true;
  }
  return false;
}

// The definition, word by word.
std::vector<TokenId> by_definition(const Made& made, std::string_view text) {
  std::vector<TokenId> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  while (join_one(made, ids)) continue;
  return ids;
}

}  // namespace

TEST_CASE("bpe: the merge of lowest rank comes first, not the longest nor the leftmost") {
  const Made made({{'b', 'c'}, {'a', 'b'}, {256, 'd'}});
  CHECK(made.encode("abcd") == std::vector<TokenId>{'a', 258});
  CHECK(made.encode("abd") == std::vector<TokenId>{257, 'd'});
  CHECK(made.encode("") == std::vector<TokenId>{});
}

TEST_CASE("bpe: of equal pairs that overlap the leftmost merges") {
  const Made made({{'a', 'a'}});
  CHECK(made.encode("aaa") == std::vector<TokenId>{256, 'a'});
  CHECK(made.encode(std::string(301, 'a')).size() == 151);
}

TEST_CASE("bpe: a token that merges do not reach is not taken for a whole piece") {
  // "abc" is a token only through a + bc, and ab merges first.
  const Made made({{'a', 'b'}, {'b', 'c'}, {'a', 257}});
  CHECK(made.encode("abc") == std::vector<TokenId>{256, 'c'});
}

TEST_CASE("bpe: a pair given twice has the rank of its last place") {
  Made made({{'a', 'b'}, {'b', 'c'}});
  made.merges.push_back(made.merges.front());
  CHECK(made.encode("abc") == std::vector<TokenId>{'a', 257});
}

TEST_CASE("bpe: bytes of zero make pieces of different lengths different") {
  const Made made({});
  const PieceTable one(made.vocabulary, {0});
  CHECK(one.find(std::string_view("\0", 1)) == 0);
  for (std::size_t n = 2; n <= 8; ++n) CHECK(one.find(std::string(n, '\0')) == kNoToken);
}

TEST_CASE("bpe: a cache gives back what it was given, for the whole piece alone") {
  PieceCache cache;
  const std::vector<TokenId> ids{3, 1, 2};
  const std::string piece = "0123456789abcdefghij";
  CHECK(cache.find(piece).empty());
  cache.store(piece, ids);
  const auto found = cache.find(piece);
  CHECK(std::vector<TokenId>(found.begin(), found.end()) == ids);
  std::string middle = piece;  // the place is found from both ends
  middle[9] = 'x';
  CHECK(cache.find(middle).empty());
  CHECK(cache.find(piece.substr(1)).empty());
  cache.store(std::string(33, 'a'), ids);
  CHECK(cache.find(std::string(33, 'a')).empty());
  cache.store("b", std::vector<TokenId>(8, 1));
  CHECK(cache.find("b").empty());
}

TEST_CASE("bpe: a cache takes no piece for a longer one that begins with it and has its place") {
  std::mt19937 random(11);
  const std::vector<TokenId> ids{1, 2};
  PieceCache cache;
  for (int round = 0; round < 4000; ++round) {  // some ten of the prefixes have the place of the whole
    std::string piece;
    for (int i = 0; i < 20; ++i) piece += static_cast<char>('a' + random() % 26);
    cache.store(piece, ids);
    for (std::size_t n = 9; n < piece.size(); ++n) REQUIRE(cache.find(piece.substr(0, n)).empty());
  }
}

TEST_CASE("bpe: random vocabularies, as the definition has it, short pieces and long") {
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::pair<TokenId, TokenId>> pairs;
    const std::size_t letters = 2 + below(3);
    const auto any = [&] {
      const std::size_t i = below(letters + pairs.size());
      return static_cast<TokenId>(i < letters ? 'a' + i : 256 + i - letters);
    };
    for (int i = 0; i < 12; ++i) {
      const std::pair<TokenId, TokenId> pair{any(), any()};
      if (std::find(pairs.begin(), pairs.end(), pair) == pairs.end()) pairs.push_back(pair);
    }
    const Made made(pairs);
    const BytePairEncoder encoder(made.vocabulary, made.bytes, made.merges);
    PieceCache cache;
    for (const std::size_t length : {1, 2, 3, 7, 8, 9, 30, 64, 65, 150}) {
      std::string text;
      for (std::size_t i = 0; i < length; ++i) text += static_cast<char>('a' + below(letters));
      std::vector<TokenId> ids;
      encoder.encode(text, ids);
      INFO(text);
      CHECK(ids == by_definition(made, text));
      for (int again = 0; again < 2; ++again) {  // the second comes from the cache
        std::vector<TokenId> cached;
        encoder.encode(text, cached, &cache);
        CHECK(cached == ids);
      }
    }
  }
}
