#include "impl/tokenization/bpe.h"

#include <algorithm>
#include <cstdint>
#include <queue>
#include <tuple>

namespace plumbline::native {
namespace {

constexpr std::size_t kShort = 64;  // bytes; up to here looking at all pairs beats a heap

// A token in a doubly linked list over the piece.
struct Node {
  TokenId id;
  std::int64_t previous;  // -1 at the beginning
  std::int64_t next;      // -1 at the end
};

// A merge that was possible when it was queued: stale when the ids have changed since.
struct Candidate {
  Merge merge;
  TokenId left;
  TokenId right;
  std::int64_t position;  // of the left node
};

struct Later {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return std::tie(a.merge.rank, a.position) > std::tie(b.merge.rank, b.position);
  }
};

constexpr TokenId kGone = -1;  // a node that has joined its left neighbour

// A heap of candidates: n log n, so that a piece of a megabyte is no trouble.
class MergeQueue {
 public:
  MergeQueue(std::string_view piece, const std::array<TokenId, 256>& byte_tokens, const MergeTable& merges)
      : merges_(merges) {
    nodes_.reserve(piece.size());
    for (const char c : piece) {
      const auto at = static_cast<std::int64_t>(nodes_.size());
      nodes_.push_back({byte_tokens[static_cast<unsigned char>(c)], at - 1, at + 1});
    }
    if (!nodes_.empty()) nodes_.back().next = -1;
    for (std::size_t i = 0; i < nodes_.size(); ++i) enqueue(static_cast<std::int64_t>(i));
  }

  void run() {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const Node& left = node(best.position);
      const bool stale = left.id != best.left || left.next < 0 || node(left.next).id != best.right;
      if (!stale) join(best);
    }
  }

  void append_to(std::vector<TokenId>& out) const {
    for (const Node& each : nodes_) {
      if (each.id != kGone) out.push_back(each.id);
    }
  }

 private:
  Node& node(std::int64_t i) { return nodes_[static_cast<std::size_t>(i)]; }
  void enqueue(std::int64_t position) {
    const std::int64_t next = position < 0 ? -1 : node(position).next;
    if (next < 0) return;
    const Merge merge = merges_.find(node(position).id, node(next).id);
    if (merge.rank != Merge::kNever) queue_.push({merge, node(position).id, node(next).id, position});
  }
  void join(const Candidate& best) {
    Node& left = node(best.position);
    Node& right = node(left.next);
    left.id = best.merge.merged;
    left.next = right.next;
    right.id = kGone;
    if (left.next >= 0) node(left.next).previous = best.position;
    enqueue(left.previous);
    enqueue(best.position);
  }

  const MergeTable& merges_;
  std::vector<Node> nodes_;
  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue_;
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

void BytePairEncoder::encode(std::string_view piece, std::vector<TokenId>& out) const {
  if (const TokenId whole = whole_.find(piece); whole != kNoToken) {
    out.push_back(whole);
  } else if (piece.size() <= kShort) {
    merge_short(piece, out);
  } else {
    merge_long(piece, out);
  }
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
  MergeQueue queue(piece, byte_tokens_, merges_);
  queue.run();
  queue.append_to(out);
}

}  // namespace plumbline::native
