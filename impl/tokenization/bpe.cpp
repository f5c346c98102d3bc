#include "impl/tokenization/bpe.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <utility>

namespace plumbline::native {
namespace {

constexpr std::size_t kShort = 32;  // bytes; up to here looking at all pairs beats a heap

constexpr std::int32_t kNone = -1;

// A token in a doubly linked list over the piece, and what it would become with the next one.
struct Node {
  TokenId id;  // kGone: it has joined its left neighbour
  std::int32_t previous;
  std::int32_t next;
  Merge merge;
};

constexpr TokenId kGone = -1;

// A heap of possible merges: n log n, so that a piece of a megabyte is no trouble. A candidate is the rank
// and, below it, the left node's place: the smallest is next. It is stale where the node's merge has another
// rank by now.
class MergeQueue {
 public:
  // `piece` is shorter than 2^31 bytes.
  MergeQueue(std::string_view piece, const std::array<TokenId, 256>& byte_tokens,
             const std::vector<Merge>& byte_merges, const MergeTable& merges)
      : merges_(merges), nodes_(piece.size()) {
    const auto byte = [&](std::size_t i) {
      return static_cast<std::size_t>(static_cast<unsigned char>(piece[i]));
    };
    std::vector<std::uint64_t> candidates;
    candidates.reserve(2 * piece.size());
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const auto at = static_cast<std::int32_t>(i);
      const bool last = i + 1 == nodes_.size();
      nodes_[i] = {byte_tokens[byte(i)], at - 1, last ? kNone : at + 1,
                   last ? Merge{} : byte_merges[byte(i) * 256 + byte(i + 1)]};
      if (nodes_[i].merge.rank != Merge::kNever) candidates.push_back(candidate(at));
    }
    queue_ = Queue(std::greater<>(), std::move(candidates));
  }

  void run() {
    while (!queue_.empty()) {
      const std::uint64_t best = queue_.top();
      queue_.pop();
      const auto at = static_cast<std::int32_t>(best & UINT32_MAX);
      if (candidate(at) == best) join(at);
    }
  }

  void append_to(std::vector<TokenId>& out) const {
    for (const Node& each : nodes_) {
      if (each.id != kGone) out.push_back(each.id);
    }
  }

 private:
  using Queue = std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>>;

  Node& node(std::int32_t at) { return nodes_[static_cast<std::size_t>(at)]; }
  std::uint64_t candidate(std::int32_t at) {
    return static_cast<std::uint64_t>(node(at).merge.rank) << 32 | static_cast<std::uint32_t>(at);
  }
  void look_up(std::int32_t at) {
    Node& left = node(at);
    left.merge = left.next == kNone ? Merge{} : merges_.find(left.id, node(left.next).id);
    if (left.merge.rank != Merge::kNever) queue_.push(candidate(at));
  }
  void join(std::int32_t at) {
    Node& left = node(at);
    Node& right = node(left.next);
    left.id = left.merge.merged;
    left.next = right.next;
    right.id = kGone;
    right.merge = {};
    if (left.next != kNone) node(left.next).previous = at;
    if (left.previous != kNone) look_up(left.previous);
    look_up(at);
  }

  const MergeTable& merges_;
  std::vector<Node> nodes_;
  Queue queue_;
};

std::vector<Merge> pairs_of_bytes(const std::array<TokenId, 256>& byte_tokens, const MergeTable& merges) {
  std::vector<Merge> pairs;
  pairs.reserve(256 * 256);
  for (const TokenId left : byte_tokens) {
    for (const TokenId right : byte_tokens) pairs.push_back(merges.find(left, right));
  }
  return pairs;
}

}  // namespace

BytePairEncoder::BytePairEncoder(const Vocabulary& vocabulary, const std::array<TokenId, 256>& byte_tokens,
                                 const std::vector<MergeTable::Entry>& merges)
    : byte_tokens_(byte_tokens),
      merges_(merges),
      byte_merges_(pairs_of_bytes(byte_tokens_, merges_)),
      whole_(vocabulary, reachable(vocabulary, merges)) {}

std::vector<TokenId> BytePairEncoder::reachable(const Vocabulary& vocabulary,
                                                const std::vector<MergeTable::Entry>& merges) const {
  std::vector<TokenId> candidates(byte_tokens_.begin(), byte_tokens_.end());
  for (const MergeTable::Entry& entry : merges) candidates.push_back(entry.merged);
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  std::vector<TokenId> encoded;
  std::erase_if(candidates, [&](TokenId id) {
    encoded.clear();
    const std::string_view bytes = vocabulary.bytes(id);
    bytes.size() <= kShort ? merge_short(bytes, encoded) : merge_long(bytes, encoded);
    return encoded.size() != 1 || encoded.front() != id;
  });
  return candidates;
}

void BytePairEncoder::encode(std::string_view piece, std::vector<TokenId>& out, PieceCache* cache) const {
  if (const TokenId whole = whole_.find(piece); whole != kNoToken) {
    out.push_back(whole);
    return;
  }
  if (piece.size() > kShort) return merge_long(piece, out);
  if (cache == nullptr) return merge_short(piece, out);
  const std::span<const TokenId> known = cache->find(piece);
  if (known.empty()) {
    const std::size_t before = out.size();
    merge_short(piece, out);
    cache->store(piece, std::span<const TokenId>(out).subspan(before));
    return;
  }
  out.insert(out.end(), known.begin(), known.end());
}

// pairs[i] is the merge of tokens i and i + 1; both arrays close up as tokens join.
void BytePairEncoder::merge_short(std::string_view piece, std::vector<TokenId>& out) const {
  if (piece.empty()) return;
  std::array<TokenId, kShort> tokens;
  std::array<Merge, kShort> pairs;
  std::size_t count = piece.size();
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(piece[i]));
  };
  for (std::size_t i = 0; i < count; ++i) tokens[i] = byte_tokens_[byte(i)];
  for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = byte_merges_[byte(i) * 256 + byte(i + 1)];
  while (true) {
    std::size_t best = 0;
    std::int32_t rank = Merge::kNever;
    for (std::size_t i = 0; i + 1 < count; ++i) {
      if (pairs[i].rank < rank) {
        rank = pairs[i].rank;
        best = i;
      }
    }
    if (rank == Merge::kNever) break;
    tokens[best] = pairs[best].merged;
    --count;
    for (std::size_t i = best + 1; i < count; ++i) tokens[i] = tokens[i + 1];
    for (std::size_t i = best; i + 1 < count; ++i) pairs[i] = pairs[i + 1];
    if (best > 0) pairs[best - 1] = merges_.find(tokens[best - 1], tokens[best]);
    if (best + 1 < count) pairs[best] = merges_.find(tokens[best], tokens[best + 1]);
  }
  out.insert(out.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
}

void BytePairEncoder::merge_long(std::string_view piece, std::vector<TokenId>& out) const {
  MergeQueue queue(piece, byte_tokens_, byte_merges_, merges_);
  queue.run();
  queue.append_to(out);
}

}  // namespace plumbline::native
