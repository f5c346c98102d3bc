#include "impl/cache/storage.h"

namespace plumbline::native {

CacheBlocks::CacheBlocks(CacheMemory& memory, const CacheSpec& spec, const CacheShape& shape,
                         std::int64_t blocks, std::int64_t slots)
    : slots_(slots), element_(dtype_size(spec.dtype)) {
  const bool interleaved = spec.packing == CachePacking::interleaved;
  const std::int64_t parts = interleaved ? 2 : 1;
  const std::int64_t row = shape.row();
  const std::int64_t dim = shape.head_dim;
  switch (spec.layout) {
    case CacheLayout::sequence_heads:
      token_stride_ = parts * row;
      head_stride_ = parts * dim;
      value_offset_ = dim;
      break;
    case CacheLayout::heads_sequence:
      token_stride_ = parts * dim;
      head_stride_ = parts * dim * slots;
      value_offset_ = dim;
      break;
    case CacheLayout::sequence_flat:
      token_stride_ = parts * row;
      head_stride_ = dim;
      value_offset_ = row;
      break;
  }
  const bool separate = spec.packing == CachePacking::separate;
  block_stride_ = (separate ? 1 : 2) * slots * row;
  if (spec.packing == CachePacking::concatenated) value_offset_ = slots * row;
  bytes_ = static_cast<std::size_t>(blocks * block_stride_) * element_;
  keys_ = memory.allocate(bytes_);
  if (separate) values_ = memory.allocate(bytes_);
}

StoredRun CacheBlocks::run(std::int64_t block, std::int64_t slot, std::int64_t tokens) const {
  const auto first = static_cast<std::size_t>(block * block_stride_ + slot * token_stride_) * element_;
  std::byte* keys = keys_->data() + first;
  std::byte* values =
      values_ ? values_->data() + first : keys + static_cast<std::size_t>(value_offset_) * element_;
  return {keys, values, tokens, token_stride_, head_stride_};
}

void CacheBlocks::zero(CacheMemory& memory) {
  memory.zero(keys_->data(), bytes_);
  if (values_) memory.zero(values_->data(), bytes_);
}

}  // namespace plumbline::native
