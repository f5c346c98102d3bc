#include "impl/generation/attention_patterns.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/generation/row_probes.h"

namespace plumbline::native {
namespace {

constexpr const char* kWhere = "attention patterns";

}  // namespace

AttentionPatterns::AttentionPatterns(Engine& engine, AttentionOptions options)
    : engine_(engine), options_(std::move(options)), heads_(engine.config().num_attention_heads) {
  if (options_.layers.empty()) throw Error("have no layers to keep", kWhere);
  if (options_.top_keys < 0 || options_.longest_context < 0) {
    throw Error(fmt::format("{} top keys, contexts up to {}", options_.top_keys, options_.longest_context),
                kWhere, "neither may be negative");
  }
  for (const int layer : options_.layers) {
    require_shown(engine.config(), {Probe::probs, layer}, kWhere);
    if (!slots_.emplace(layer, slots_.size()).second) {
      throw Error(fmt::format("layer {} is named twice", layer), kWhere);
    }
  }
}

void AttentionPatterns::begin(std::span<const SequenceStep> steps) {
  tokens_.clear();
  tokens_.begin(steps);
  pending_.clear();
  left_out_now_.clear();
  for (const SequenceStep& step : steps) {
    left_out_now_[step.sequence] =
        std::any_of(step.positions.begin(), step.positions.end(),
                    [&](std::int64_t position) { return position >= options_.longest_context; });
  }
  for (const ActivationOrigin& origin : tokens_.pending_origins()) pending_.push_back({origin, 0, {}, {}});
}

ProbeSink::Access AttentionPatterns::access(const ProbeId& id) const {
  if (tokens_.pending(id.sequence) == nullptr) return Access::none;
  const bool pattern =
      id.site.probe == Probe::probs && slots_.contains(id.site.layer) && !left_out_now_.at(id.sequence);
  return pattern || tokens_.ends(id) ? Access::read : Access::none;
}

void AttentionPatterns::receive(const ProbeId& id, const TensorView& view) {
  if (id.site.probe == Probe::probs) {
    const CapturedTokens::Pending& step = *tokens_.pending(id.sequence);
    require(view.shape.rank() == 3 && view.shape[0] == heads_ && view.shape[1] == step.tokens &&
                view.shape[2] >= step.tokens,
            "attention patterns: other weights than begin() said");
    const std::int64_t length = view.shape[2];
    const std::size_t slot = slots_.at(id.site.layer);
    const HostFloats values(engine_, view);
    for (std::int64_t token = 0; token < step.tokens; ++token) {
      Pattern& pattern = pending_[static_cast<std::size_t>(step.first + token)];
      pattern.keys = length - step.tokens + token + 1;  // later ones are masked
      for (std::int64_t head = 0; head < heads_; ++head) {
        keep_head(pattern, slot, head, values.data() + (head * step.tokens + token) * length);
      }
    }
  }
  if (!tokens_.ends(id) || !tokens_.note_end(id)) return;
  tokens_.commit();
  for (Pattern& pattern : pending_) {
    if (left_out_now_.at(pattern.origin.sequence)) {
      ++left_out_;
    } else {
      kept_.push_back(std::move(pattern));
    }
  }
  pending_.clear();
}

void AttentionPatterns::keep_head(Pattern& pattern, std::size_t slot, std::int64_t head,
                                  const float* weights) const {
  const std::size_t row = slot * static_cast<std::size_t>(heads_) + static_cast<std::size_t>(head);
  const std::size_t rows = slots_.size() * static_cast<std::size_t>(heads_);
  const auto keys = static_cast<std::size_t>(pattern.keys);
  if (options_.top_keys == 0) {
    pattern.weights.resize(rows * keys);
    std::copy_n(weights, keys, pattern.weights.begin() + static_cast<std::ptrdiff_t>(row * keys));
    return;
  }
  const std::size_t most = std::min(keys, static_cast<std::size_t>(options_.top_keys));
  std::vector<std::int64_t> order(keys);
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(),
                    [&](std::int64_t a, std::int64_t b) {
                      return weights[a] > weights[b] || (weights[a] == weights[b] && a < b);
                    });
  pattern.top.resize(rows * most);
  for (std::size_t i = 0; i < most; ++i) pattern.top[row * most + i] = {order[i], weights[order[i]]};
}

const AttentionPatterns::Pattern& AttentionPatterns::at(std::int64_t token) const {
  if (token < 0 || token >= tokens()) {
    throw Error(fmt::format("no token {}: {} are kept", token, tokens()), kWhere);
  }
  return kept_[static_cast<std::size_t>(token)];
}

std::size_t AttentionPatterns::slot_of(int layer) const {
  const auto found = slots_.find(layer);
  if (found == slots_.end()) throw Error(fmt::format("layer {} is not kept", layer), kWhere);
  return found->second;
}

TensorView AttentionPatterns::weights(std::int64_t token, int layer) const {
  const Pattern& pattern = at(token);
  if (options_.top_keys > 0) throw Error("only the top keys are kept", kWhere, "top() has them");
  const auto layer_size = static_cast<std::size_t>(heads_ * pattern.keys);
  return {pattern.weights.data() + slot_of(layer) * layer_size, DType::f32, {heads_, pattern.keys}};
}

std::span<const AttendedKey> AttentionPatterns::top(std::int64_t token, int layer, std::int64_t head) const {
  const Pattern& pattern = at(token);
  if (options_.top_keys == 0) throw Error("all weights are kept", kWhere, "weights() has them");
  if (head < 0 || head >= heads_) throw Error(fmt::format("no head {}: there are {}", head, heads_), kWhere);
  const auto most = static_cast<std::size_t>(std::min(pattern.keys, options_.top_keys));
  const std::size_t row = slot_of(layer) * static_cast<std::size_t>(heads_) + static_cast<std::size_t>(head);
  return std::span(pattern.top).subspan(row * most, most);
}

std::int64_t AttentionPatterns::bytes() const {
  std::size_t bytes = 0;
  for (const Pattern& each : kept_) {
    bytes += each.weights.size() * sizeof(float) + each.top.size() * sizeof(AttendedKey);
  }
  return static_cast<std::int64_t>(bytes);
}

void AttentionPatterns::clear() {
  tokens_.clear();
  kept_.clear();
  pending_.clear();
  left_out_ = 0;
}

}  // namespace plumbline::native
