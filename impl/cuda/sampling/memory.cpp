#include "impl/cuda/sampling/memory.h"

#include <cstddef>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native::cuda {
namespace {

// Hands out one allocation, each part on 256 bytes. Without memory it counts.
class Parts {
 public:
  explicit Parts(std::byte* memory) : memory_(memory) {}
  template <typename T>
  void give(T*& part, std::int64_t count) {
    part = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

std::size_t lay_out(SamplingBoard& board, std::byte* memory) {
  Parts parts(memory);
  parts.give(board.scores, board.chunks * kChunk);
  parts.give(board.probabilities, board.chunks * kChunk);
  for (int i = 0; i < 2; ++i) {
    parts.give(board.census[i], board.chunks);
    parts.give(board.sums[i], board.chunks);
    parts.give(board.bins[i], std::int64_t{kDigits} * kBins);
    parts.give(board.cuts[i], kDigits + 1);
  }
  parts.give(board.ties, board.chunks);
  parts.give(board.largest, 1);
  parts.give(board.result, 1);
  return parts.used();
}

}  // namespace

const SamplingBoard& SamplingMemory::reserve(std::int64_t vocab) {
  if (vocab == board_.vocab) return board_;
  if (vocab > kMostSummands) {
    throw Error(fmt::format("{} logits are more than the device's sampler takes, {}", vocab, kMostSummands),
                "sample", "sample on the host");
  }
  SamplingBoard board;
  board.vocab = vocab;
  board.chunks = chunks_of(vocab);
  board_ = {};  // what it points to may go
  board_memory_.reserve(lay_out(board, nullptr), "the sampler's stages");
  lay_out(board, board_memory_.as<std::byte>());
  board_ = board;
  return board_;
}

void* SamplingMemory::uploaded() {
  uploaded_.reserve(static_cast<std::size_t>(board_.vocab) * sizeof(float), "the sampler's logits");
  return uploaded_.data();
}

}  // namespace plumbline::native::cuda
