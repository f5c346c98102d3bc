// What is done in which order, positions and masks. The ops are in layers.cpp, the recording in record.cpp.
#include "tests/mutants/forward.h"

#include <algorithm>

namespace plumbline::mutants {

Forward::Forward(const Checkpoint& checkpoint, int slots, int capacity, Mistake planted, SumOrder order,
                 const CacheForm& form, const Format& format)
    : format_(format),
      model_(load(checkpoint, planted, format)),
      arch_(model_.architecture),
      planted_(planted),
      order_(order),
      cache_(arch_, slots, capacity, planted, format),
      slots_(static_cast<std::size_t>(slots)),
      frequencies_(inverse_frequencies(arch_, planted)) {
  trace_.metadata.engine = "mutant";
  trace_.metadata.storage = format.storage();
  trace_.metadata.precision = format.precision();
  trace_.metadata.cache = form.dtype.value_or(format.storage());
  if (!form.plain) formed_.emplace(arch_, form, planted, format);
}

Trace Forward::run(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    if (action.kind == Action::Kind::fork) fork(action);
    if (action.kind == Action::Kind::reset) {
      cache_.reset(action.to);
      slots_[static_cast<std::size_t>(action.to)].steps = 0;
      slots_[static_cast<std::size_t>(action.to)].pads = 0;
    }
    std::size_t longest = 0;
    for (const Chunk& chunk : action.chunks) longest = std::max(longest, chunk.tokens.size());
    for (const Chunk& chunk : action.chunks) {
      const bool starts =
          slots_[static_cast<std::size_t>(chunk.slot)].steps == 0 && cache_.length(chunk.slot) == 0;
      step(chunk, starts ? static_cast<int>(longest - chunk.tokens.size()) : 0);
    }
  }
  std::stable_sort(trace_.steps.begin(), trace_.steps.end(), [](const TraceStep& a, const TraceStep& b) {
    return std::pair(a.sequence, a.step) < std::pair(b.sequence, b.step);
  });
  return std::move(trace_);
}

// The branch begins with what the prefix holds now.
void Forward::fork(const Action& action) {
  Slot& to = slots_[static_cast<std::size_t>(action.to)];
  const Slot& from = slots_[static_cast<std::size_t>(action.from)];
  InitialCache& initial = trace_.initial[action.sequence];
  const int length = cache_.length(action.from) - from.pads;
  const Shape shape{length, arch_.kv_heads, arch_.head_dim};
  const auto count = static_cast<std::size_t>(shape.elements());
  for (int i = 0; i < arch_.layers; ++i) {
    const std::span<const float> keys(cache_.key(i, action.from, from.pads), count);
    const std::span<const float> values(cache_.value(i, action.from, from.pads), count);
    initial.key[i] = tensor_of(keys, shape, format_.storage());
    initial.value[i] = tensor_of(values, shape, format_.storage());
  }
  cache_.fork(action.from, action.to);
  to = from;
  to.steps = 0;
}

void Forward::step(const Chunk& chunk, int pads) {
  slot_ = chunk.slot;
  Slot& slot = slots_[static_cast<std::size_t>(slot_)];
  new_pads_ = pads;
  if (pads > 0) slot.pads = pads;
  past_ = cache_.length(slot_);
  held_before_ = past_;
  if (formed_) {
    held_before_ = formed_->length();
    formed_->begin(pads + static_cast<int>(chunk.tokens.size()));
    past_ = formed_->past();
  }
  ids_.assign(static_cast<std::size_t>(pads), 0);
  ids_.insert(ids_.end(), chunk.tokens.begin(), chunk.tokens.end());
  rows_ = static_cast<int>(ids_.size());
  prepare(chunk);

  Rows x(rows_, arch_.hidden);
  for (int t = 0; t < rows_; ++t) {
    const int id = ids_[static_cast<std::size_t>(t)];
    const float* from =
        model_.embedding.row(planted(Mistake::token_off_by_one) ? (id + 1) % arch_.vocab : id);
    const float scale =
        planted(Mistake::embedding_scaled) ? std::sqrt(static_cast<float>(arch_.hidden)) : 1.0f;
    std::transform(from, from + arch_.hidden, x.row(t), [&](float value) { return value * scale; });
  }
  store(Probe::embed_tokens, x);
  sum_ = x;
  emit(Probe::embed_tokens, -1, x);
  const int layers = planted(Mistake::layer_skipped) ? arch_.layers - 1 : arch_.layers;
  for (int i = 0; i < layers; ++i) layer(i, x);
  head(x);
  cache_.commit(slot_, rows_);
  if (formed_ && formed_->form().ring) trace_.rings[chunk.sequence] = formed_->ring();
  slot.highest = std::max(slot.highest, cache_.length(slot_));
  ++slot.steps;
}

// Opens a step of the trace and makes what all layers share.
void Forward::prepare(const Chunk& chunk) {
  const Slot& slot = slots_[static_cast<std::size_t>(slot_)];
  const int pads = slot.pads;
  TraceStep record;
  record.sequence = chunk.sequence;
  record.step = slot.steps;
  record.given = GivenInputs{chunk.tokens, {}};
  const int before = formed_ ? formed_->seen() - rows_ : past_;  // tokens, forgotten or not
  const int first = slot.steps == 0 && trace_.initial.count(chunk.sequence) == 0 ? 0 : before - pads;
  positions_.clear();
  for (int t = 0; t < rows_; ++t) {
    int position = std::max(before + t - pads, 0);
    if (planted(Mistake::ring_positions_of_length)) position = held_before_ + t;
    if (planted(Mistake::positions_off_by_one)) position += 1;
    if (planted(Mistake::positions_restart) && past_ > 0 && rows_ > 1) position = t;
    if (planted(Mistake::pads_counted)) position = past_ + t;
    positions_.push_back(position);
  }
  for (std::size_t t = 0; t < chunk.tokens.size(); ++t) {
    record.given->positions.push_back(first + static_cast<std::int64_t>(t));
  }
  trace_.steps.push_back(std::move(record));

  const std::span<const TokenId> tokens(chunk.tokens);
  const std::vector<std::int64_t> ids(tokens.begin(), tokens.end());
  const std::span<const std::int64_t> recorded(positions_.data() + new_pads_, ids.size());
  const Shape shape{static_cast<std::int64_t>(ids.size())};
  emit(Probe::input_ids, -1, Tensor::from(DType::i64, shape, std::span<const std::int64_t>(ids)));
  emit(Probe::position_ids, -1, Tensor::from(DType::i64, shape, recorded));
  make_masks();
  const Shape pairs{arch_.head_dim / 2};
  emit(Probe::inv_freq, -1, Tensor::from(DType::f32, pairs, std::span<const float>(frequencies_)));
  wave_ = wave_of(arch_, frequencies_, positions_, planted_, format_);
  emit(Probe::cos, -1, wave_.cos);
  emit(Probe::sin, -1, wave_.sin);
}

// `query` and `key` count from the first place of the slot, pads included.
bool Forward::allowed(int query, int key, bool slides) const {
  const int pads = slots_[static_cast<std::size_t>(slot_)].pads;
  if (query < pads) return key == query;  // a pad has to see something
  int last = query;
  if (planted(Mistake::mask_sees_one_ahead)) last += 1;
  if (planted(Mistake::mask_hides_itself)) last -= 1;
  if (planted(Mistake::mask_of_new_tokens_only) && key < past_) return false;
  if (key < pads || key > last) return false;
  int window = arch_.window;
  if (planted(Mistake::window_too_wide)) window += 1;
  if (planted(Mistake::window_too_narrow)) window -= 1;
  if (planted(Mistake::window_lost_in_decode) && past_ > 0) slides = false;
  return !slides || key > query - window;
}

void Forward::make_masks() {
  full_ = Mask(rows_, past_ + rows_);
  sliding_ = full_;
  for (int t = 0; t < rows_; ++t) {
    for (int c = 0; c < past_ + rows_; ++c) {
      full_.at(t, c) = allowed(past_ + t, c, false) ? 1 : 0;
      sliding_.at(t, c) = allowed(past_ + t, c, true) ? 1 : 0;
    }
  }
  const bool first_slides = arch_.slides(0), last_slides = arch_.slides(arch_.layers - 1);
  if (first_slides == last_slides) {
    emit_mask(Probe::attention_mask, first_slides ? sliding_ : full_);
  } else {
    emit_mask(Probe::attention_mask_full, full_);
    emit_mask(Probe::attention_mask_sliding, sliding_);
  }
}

}  // namespace plumbline::mutants
