#include "impl/bpe.h"

#include <queue>
#include <tuple>

namespace plumbline::native {
namespace {

std::uint64_t pair_key(TokenId left, TokenId right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

// A token in a doubly linked list over the piece; `id` is -1 once it has joined its left neighbour.
struct Node {
  TokenId id;
  std::int32_t previous;
  std::int32_t next;  // -1 at the end
};

// A merge that was possible when it was queued: stale when the ids have changed since.
struct Candidate {
  std::int32_t rank;
  std::int32_t position;  // of the left node
  TokenId left;
  TokenId right;
  TokenId merged;
};

struct Later {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return std::tie(a.rank, a.position) > std::tie(b.rank, b.position);
  }
};

}  // namespace

void BytePairEncoder::add_merge(TokenId left, TokenId right, std::int32_t rank, TokenId merged) {
  merges_[pair_key(left, right)] = {rank, merged};
}

const BytePairEncoder::Merge* BytePairEncoder::find(TokenId left, TokenId right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// A heap of candidates: n log n, so that a piece of a megabyte is no trouble.
void BytePairEncoder::encode(std::string_view piece, std::vector<TokenId>& out) const {
  std::vector<Node> nodes;
  nodes.reserve(piece.size());
  for (const char c : piece) {
    const auto at = static_cast<std::int32_t>(nodes.size());
    nodes.push_back({bytes_[static_cast<unsigned char>(c)], at - 1, at + 1});
  }
  if (nodes.empty()) return;
  nodes.back().next = -1;

  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue;
  const auto node = [&](std::int32_t i) -> Node& { return nodes[static_cast<std::size_t>(i)]; };
  const auto enqueue = [&](std::int32_t position) {
    const std::int32_t next = position < 0 ? -1 : node(position).next;
    if (next < 0) return;
    if (const Merge* merge = find(node(position).id, node(next).id)) {
      queue.push({merge->rank, position, node(position).id, node(next).id, merge->merged});
    }
  };
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(nodes.size()); ++i) enqueue(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Node& left = node(best.position);
    if (left.id != best.left || left.next < 0 || node(left.next).id != best.right) continue;
    Node& right = node(left.next);
    left.id = best.merged;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) node(left.next).previous = best.position;
    enqueue(left.previous);
    enqueue(best.position);
  }
  for (std::int32_t i = 0; i >= 0; i = node(i).next) out.push_back(node(i).id);
}

}  // namespace plumbline::native
