#include <algorithm>
#include <utility>

#include "impl/tokenization/byte_level.h"
#include "impl/unicode.h"
#include "tests/mutants/token_stages.h"

namespace plumbline::mutants {
namespace {

using M = TokenMistake;
using native::Merge;

}  // namespace

PlantedMerges::PlantedMerges(const native::TokenizerFile& file, TokenMistake planted) : planted_(planted) {
  for (const auto& [text, id] : file.vocab) {
    vocabulary_.set(id, native::byte_level_decode(text));
    ids_[std::string(vocabulary_.bytes(id))] = id;
  }
  for (unsigned byte = 0; byte < bytes_.size(); ++byte) bytes_[byte] = ids_.at({static_cast<char>(byte)});
  std::vector<native::MergeTable::Entry> merges;
  for (const auto& [left, right] : file.merges) {
    const std::string a = native::byte_level_decode(left), b = native::byte_level_decode(right);
    merges.push_back({ids_.at(a), ids_.at(b), ids_.at(a + b)});
  }
  table_ = native::MergeTable(merges);
  encoder_ = std::make_unique<const native::BytePairEncoder>(vocabulary_, bytes_, merges);
}

std::vector<TokenId> PlantedMerges::operator()(std::string_view piece) const {
  if (planted_ == M::longest_prefix) return by_prefix(piece);
  if (planted_ == M::longest_merge_first || planted_ == M::rightmost_of_equal ||
      planted_ == M::leftmost_merge_first)
    return by_choice(piece);
  std::vector<TokenId> ids;
  encoder_->encode(piece, ids);
  return ids;
}

// One merge after the other, by another choice than the lowest rank and, of equal ones, the leftmost.
std::vector<TokenId> PlantedMerges::by_choice(std::string_view piece) const {
  std::vector<TokenId> tokens;
  for (const char c : piece) tokens.push_back(bytes_[static_cast<unsigned char>(c)]);
  while (true) {
    std::size_t best = tokens.size();
    std::pair<std::int64_t, std::int64_t> best_key;  // the lowest is taken
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const Merge merge = table_.find(tokens[i], tokens[i + 1]);
      if (merge.rank == Merge::kNever) continue;
      const auto length = static_cast<std::int64_t>(vocabulary_.bytes(merge.merged).size());
      const auto place = static_cast<std::int64_t>(i);
      const auto key =
          planted_ == M::longest_merge_first  ? std::pair<std::int64_t, std::int64_t>(-length, merge.rank)
          : planted_ == M::rightmost_of_equal ? std::pair<std::int64_t, std::int64_t>(merge.rank, -place)
                                              : std::pair<std::int64_t, std::int64_t>(place, 0);
      if (best == tokens.size() || key < best_key) {
        best = i;
        best_key = key;
      }
    }
    if (best == tokens.size()) return tokens;
    tokens[best] = table_.find(tokens[best], tokens[best + 1]).merged;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

std::vector<TokenId> PlantedMerges::by_prefix(std::string_view piece) const {
  std::vector<TokenId> tokens;
  while (!piece.empty()) {
    std::size_t length = piece.size();
    while (!ids_.contains(std::string(piece.substr(0, length)))) --length;  // each byte is a token
    tokens.push_back(ids_.at(std::string(piece.substr(0, length))));
    piece.remove_prefix(length);
  }
  return tokens;
}

}  // namespace plumbline::mutants
