#include "tests/mutants/cache_forms.h"

#include <algorithm>

#include "harness/error.h"

namespace plumbline::mutants {
namespace {

// What free places hold. One row more than there are slots, for an offset that is one row off.
std::vector<float> free_places(int slots, int row, const Format& format) {
  std::vector<float> values(static_cast<std::size_t>((2 * slots + 1) * row));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.5f + 0.01f * static_cast<float>(i * 37 % 101);
  format.store(values);
  return values;
}

}  // namespace

FormedCache::FormedCache(const Architecture& architecture, const CacheForm& form, Mistake planted,
                         const Format& format)
    : architecture_(architecture),
      form_(form),
      dtype_(form.dtype.value_or(format.storage())),
      planted_(planted) {
  const int row = architecture.key_value_dim();
  prefills_.assign(static_cast<std::size_t>(architecture.layers), free_places(form.prefill, row, format));
  others_.assign(static_cast<std::size_t>(architecture.layers), free_places(form.slots, row, format));
}

void FormedCache::begin(int tokens) {
  added_ = tokens;
  seen_ += tokens;
  if (seen_ == tokens && tokens <= form_.prefill) {
    prefill_ = tokens;
    return;
  }
  const int lost = std::max(count_ + tokens - form_.slots, 0);
  require(lost == 0 || (form_.ring && tokens <= form_.slots), "mutants: a full cache");
  if (planted_ != Mistake::ring_newest_forgotten) start_ = (start_ + lost) % form_.slots;
  count_ += tokens - lost;
  if (planted_ == Mistake::ring_forgets_one_more && lost > 0) {
    start_ = (start_ + 1) % form_.slots;
    --count_;
  }
}

FormedCache::Place FormedCache::written_at(int i) const {
  if (count_ == 0) return {true, i};
  return {false, (start_ + count_ - added_ + i) % form_.slots};
}

FormedCache::Place FormedCache::read_at(int index) const {
  if (planted_ == Mistake::decode_buffer_first) index = (index + prefill_) % length();
  const bool late = planted_ == Mistake::buffers_meet_one_late && count_ > 0;
  const int boundary = prefill_ + (late ? 1 : 0);
  if (index < boundary) return {true, index};
  const int start = planted_ == Mistake::ring_start_not_moved ? 0 : start_;
  return {false, (start + index - boundary) % form_.slots};
}

std::size_t FormedCache::offset(Place place, Part part, int head, bool by_head) const {
  const int slots = place.in_prefill ? form_.prefill : form_.slots;
  const int dim = architecture_.head_dim, row = architecture_.key_value_dim();
  int at = part * slots * row + (by_head ? (head * slots + place.slot) * dim : place.slot * row + head * dim);
  if (form_.packed) at = (2 * place.slot + part) * row + head * dim;
  return static_cast<std::size_t>(at);
}

float FormedCache::stored(float value, Part part) const {
  if (planted_ == Mistake::half_cut) return cut(value, dtype_);
  if (planted_ == Mistake::half_keys_alone && part == Part::value) return value;
  if (planted_ == Mistake::half_rounded_twice && part == Part::key)
    value = rounded(value, other_half(dtype_));
  return rounded(value, dtype_);
}

void FormedCache::append(int layer, const Rows& keys, const Rows& values) {
  const bool by_head = form_.by_head && planted_ != Mistake::layout_written_by_slot;
  const int dim = architecture_.head_dim;
  for (int i = 0; i < keys.rows; ++i) {
    const Place place = written_at(i);
    for (const Part part : {Part::key, Part::value}) {
      const float* from = (part == Part::key ? keys : values).row(i);
      for (int head = 0; head < architecture_.kv_heads; ++head) {
        float* to = buffer(layer, place.in_prefill).data() + offset(place, part, head, by_head);
        for (int d = 0; d < dim; ++d) to[d] = stored(from[head * dim + d], part);
      }
    }
  }
}

HeldRows FormedCache::read(int layer) const {
  const int dim = architecture_.head_dim, row = architecture_.key_value_dim();
  const bool by_head = form_.by_head && planted_ != Mistake::layout_read_by_slot;
  HeldRows held{Rows(length(), row), Rows(length(), row)};
  for (int i = 0; i < length(); ++i) {
    const Place place = read_at(i);
    const std::vector<float>& from =
        (place.in_prefill ? prefills_ : others_)[static_cast<std::size_t>(layer)];
    for (const Part part : {Part::key, Part::value}) {
      const bool swapped = planted_ == Mistake::packed_halves_swapped;
      const Part read = !swapped ? part : part == Part::key ? Part::value : Part::key;
      const int off = planted_ == Mistake::packed_offset_off && part == Part::value ? row : 0;
      for (int head = 0; head < architecture_.kv_heads; ++head) {
        const float* at = from.data() + offset(place, read, head, by_head) + off;
        std::copy_n(at, dim, (part == Part::key ? held.keys : held.values).row(i) + head * dim);
      }
    }
  }
  return held;
}

}  // namespace plumbline::mutants
