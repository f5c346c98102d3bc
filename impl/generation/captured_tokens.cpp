#include "impl/generation/captured_tokens.h"

#include <algorithm>

namespace plumbline::native {

void CapturedTokens::reserve(std::int64_t tokens) {
  origins_.reserve(static_cast<std::size_t>(tokens));
}

void CapturedTokens::begin(std::span<const SequenceStep> steps) {
  origins_.resize(static_cast<std::size_t>(rows_));
  pending_.clear();
  for (const SequenceStep& step : steps) {
    const auto known = next_step_.find(step.sequence);
    Pending made;
    made.first = static_cast<std::int64_t>(origins_.size());
    made.tokens = static_cast<std::int64_t>(step.tokens.size());
    made.step = known == next_step_.end() ? 0 : known->second;
    made.last = step.logits == LogitsWanted::none ? Probe::norm : Probe::lm_head;
    pending_[step.sequence] = made;
    // Where there are fewer positions than tokens the engine refuses the call.
    for (std::size_t i = 0; i < step.tokens.size(); ++i) {
      const std::int64_t position = i < step.positions.size() ? step.positions[i] : 0;
      origins_.push_back({step.sequence, position, step.tokens[i], made.step});
    }
  }
}

const CapturedTokens::Pending* CapturedTokens::pending(SequenceId sequence) const {
  const auto found = pending_.find(sequence);
  return found == pending_.end() ? nullptr : &found->second;
}

bool CapturedTokens::ends(const ProbeId& id) const {
  if (id.site.probe != Probe::norm && id.site.probe != Probe::lm_head) return false;
  const Pending* const step = pending(id.sequence);
  return step != nullptr && step->last == id.site.probe;
}

bool CapturedTokens::note_end(const ProbeId& id) {
  pending_.at(id.sequence).ended = true;
  return std::all_of(pending_.begin(), pending_.end(), [](const auto& step) { return step.second.ended; });
}

void CapturedTokens::commit() {
  rows_ = static_cast<std::int64_t>(origins_.size());
  for (const auto& [sequence, step] : pending_) next_step_[sequence] = step.step + 1;
  pending_.clear();
}

void CapturedTokens::clear() {
  rows_ = 0;
  origins_.clear();
  pending_.clear();
}

std::span<const ActivationOrigin> CapturedTokens::origins() const {
  return std::span(origins_).first(static_cast<std::size_t>(rows_));
}

std::span<const ActivationOrigin> CapturedTokens::pending_origins() const {
  return std::span(origins_).subspan(static_cast<std::size_t>(rows_));
}

}  // namespace plumbline::native
