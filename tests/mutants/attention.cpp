#include "tests/mutants/attention.h"

#include <algorithm>
#include <limits>

#include "tests/mutants/linear.h"

namespace plumbline::mutants {
namespace {

constexpr int kTile = 4;  // keys, in Mistake::score_tile_lost

// The weights of one query in one head. Exponentials in f32, their sum in f64.
class Softmax {
 public:
  Softmax(const AttentionInput& in, int query, const float* scores, Mistake planted)
      : in_(in), query_(query), scores_(scores), planted_(planted), lost_(lost_key()) {}

  // Into `probs`, one for each key, and the weights of the keys beyond, whose scores are `beyond`.
  void run(float* probs, std::vector<float>& beyond) const {
    const int keys = static_cast<int>(in_.keys.size());
    const float largest = planted_ == Mistake::softmax_without_maximum ? 0.0f : this->largest();
    double sum = 0;
    for (int c = 0; c < keys; ++c) {
      probs[c] = counted(c) ? exponential(masked(c) - largest) : 0.0f;
      const bool in_sum = counted(c) || planted_ == Mistake::softmax_over_forbidden;
      if (in_sum) sum += counted(c) ? probs[c] : exponential(scores_[c] - largest);
      if (planted_ == Mistake::softmax_in_storage) sum = in_.format.stored(static_cast<float>(sum));
    }
    for (float& weight : beyond) sum += weight = exponential(weight - largest);
    const double whole = sum == 0 ? 1 : sum;  // no key at all: no weights
    for (int c = 0; c < keys; ++c) probs[c] = finished(static_cast<float>(probs[c] / whole), c);
    for (float& weight : beyond) weight = in_.format.inner(static_cast<float>(weight / whole));
  }

 private:
  float penalty() const { return planted_ == Mistake::mask_minus_1e4 ? -1e4f : -30.0f; }
  bool weak_mask() const { return planted_ == Mistake::mask_minus_1e4 || planted_ == Mistake::mask_minus_30; }

  bool allowed(int c) const {
    const int self = in_.past() + query_;
    if (planted_ == Mistake::kernel_sees_one_ahead && c == self + 1) return true;
    if (planted_ == Mistake::kernel_hides_itself && c == self && self > in_.pads) return false;
    if (planted_ == Mistake::pads_attended && c < in_.pads) return true;
    return in_.mask.at(query_, c);
  }
  // The middle one of the keys that may be seen, where there are two at least.
  int lost_key() const {
    if (planted_ != Mistake::key_lost_from_softmax) return -1;
    std::vector<int> seen;
    for (int c = 0; c < in_.mask.keys; ++c) {
      if (in_.mask.at(query_, c)) seen.push_back(c);
    }
    return seen.size() < 2 ? -1 : seen[seen.size() / 2];
  }
  bool counted(int c) const { return (allowed(c) && c != lost_) || weak_mask(); }
  float masked(int c) const { return allowed(c) || !weak_mask() ? scores_[c] : scores_[c] + penalty(); }

  float largest() const {
    float largest = -std::numeric_limits<float>::infinity();
    for (int c = 0; c < static_cast<int>(in_.keys.size()); ++c) {
      if (counted(c)) largest = std::max(largest, masked(c));
    }
    return largest;
  }
  float exponential(float x) const {
    if (planted_ == Mistake::softmax_in_storage) return in_.format.stored(std::exp(x));
    return std::exp(planted_ == Mistake::exponent_in_bf16 ? to_bf16(x) : x);
  }
  float finished(float p, int c) const {
    if (planted_ == Mistake::probs_in_bf16) return to_bf16(p);
    if (planted_ == Mistake::dropout_left_on) p = (query_ + c) % 10 == 3 ? 0.0f : p / 0.9f;
    return in_.format.inner(p);
  }

  const AttentionInput& in_;
  const int query_;
  const float* scores_;
  const Mistake planted_;
  const int lost_;
};

float scale_of(const AttentionInput& in, Mistake planted) {
  const auto root = [](int n) { return static_cast<float>(1 / std::sqrt(static_cast<double>(n))); };
  if (planted == Mistake::scale_missing) return 1;
  if (planted == Mistake::scale_twice) return root(in.head_dim) * root(in.head_dim);
  if (planted == Mistake::scale_of_hidden) return root(in.hidden);
  if (planted == Mistake::scale_off) return root(in.head_dim + 1);
  return root(in.head_dim);
}

int kv_head(const AttentionInput& in, int head, Mistake planted) {
  return planted == Mistake::heads_tiled ? head % in.kv_heads : head / (in.heads / in.kv_heads);
}

float score(const AttentionInput& in, int head, const float* query, const float* key, SumOrder order,
            Mistake planted) {
  const float* q = query + head * in.head_dim;
  const float* k = key + kv_head(in, head, planted) * in.head_dim;
  float sum = dot(q, k, planted == Mistake::score_product_lost ? in.head_dim - 1 : in.head_dim, order);
  if (planted == Mistake::scores_in_tf32) {
    sum = 0;
    for (int i = 0; i < in.head_dim; ++i) sum += to_tf32(q[i]) * to_tf32(k[i]);
  }
  const float factor = scale_of(in, planted);
  if (planted == Mistake::queries_scaled_first) {
    sum = 0;
    for (int i = 0; i < in.head_dim; ++i) sum += in.format.stored(q[i] * factor) * k[i];
    return in.format.inner(sum);
  }
  const float scaled = (planted == Mistake::scores_rounded_once ? sum : in.format.inner(sum)) * factor;
  if (planted == Mistake::scores_in_f16) return to_f16(scaled);
  return planted == Mistake::scores_rounded ? in.format.stored(scaled) : in.format.inner(scaled);
}

bool not_computed(const AttentionInput& in, int c, Mistake planted) {
  return planted == Mistake::score_tile_lost && c >= static_cast<int>(in.keys.size()) / kTile * kTile;
}

bool left_out_of_context(int c, int query, const AttentionInput& in, Mistake planted) {
  return planted == Mistake::key_lost_from_context && c == in.past() + query;
}

void add_value(const AttentionInput& in, int head, float weight, const float* value, float* context,
               Mistake planted) {
  const int kv = planted == Mistake::value_head_zero ? 0 : kv_head(in, head, planted);
  if (planted == Mistake::probs_rounded_for_values) weight = in.format.stored(weight);
  for (int i = 0; i < in.head_dim; ++i) {
    const bool interleaved = planted == Mistake::heads_interleaved;
    float& sum = context[interleaved ? i * in.heads + head : head * in.head_dim + i];
    sum += weight * value[kv * in.head_dim + i];
    if (planted == Mistake::context_sum_in_bf16) sum = to_bf16(sum);
  }
}

// softmax_over_heads: the weights of all heads at one place sum to 1.
void normalise_over_heads(const AttentionInput& in, Attended& out) {
  for (int t = 0; t < in.q.rows; ++t) {
    for (int c = 0; c < static_cast<int>(in.keys.size()); ++c) {
      if (!in.mask.at(t, c)) continue;
      double sum = 0;
      for (const Rows& scores : out.scores) sum += std::exp(scores.row(t)[c]);
      for (std::size_t h = 0; h < out.probs.size(); ++h) {
        out.probs[h].row(t)[c] = in.format.inner(static_cast<float>(std::exp(out.scores[h].row(t)[c]) / sum));
      }
    }
  }
}

}  // namespace

Attended attend(const AttentionInput& in, SumOrder order, Mistake planted) {
  const int queries = in.q.rows, keys = static_cast<int>(in.keys.size());
  Attended out{std::vector<Rows>(static_cast<std::size_t>(in.heads), Rows(queries, keys)), {}, in.q};
  out.probs = out.scores;
  std::fill(out.context.values.begin(), out.context.values.end(), 0.0f);
  std::vector<std::vector<float>> beyond;  // by head and query: weights of places beyond the sequence
  for (int h = 0; h < in.heads; ++h) {
    Rows& scores = out.scores[static_cast<std::size_t>(h)];
    for (int t = 0; t < queries; ++t) {
      const auto of = [&](const Place& place) {
        return score(in, h, in.q.row(t), place.key, order, planted);
      };
      for (int c = 0; c < keys; ++c) {
        scores.row(t)[c] = not_computed(in, c, planted) ? 0 : of(in.keys[static_cast<std::size_t>(c)]);
      }
      beyond.emplace_back();
      for (const Place& place : in.beyond) beyond.back().push_back(of(place));
      Softmax(in, t, scores.row(t), planted)
          .run(out.probs[static_cast<std::size_t>(h)].row(t), beyond.back());
    }
  }
  if (planted == Mistake::softmax_over_heads) normalise_over_heads(in, out);
  for (int h = 0; h < in.heads; ++h) {
    for (int t = 0; t < queries; ++t) {
      const float* probs = out.probs[static_cast<std::size_t>(h)].row(t);
      float* context = out.context.row(t);
      for (int c = 0; c < keys; ++c) {
        if (left_out_of_context(c, t, in, planted)) continue;
        add_value(in, h, probs[c], in.keys[static_cast<std::size_t>(c)].value, context, planted);
      }
      const std::vector<float>& weights = beyond[static_cast<std::size_t>(h * queries + t)];
      for (std::size_t k = 0; k < weights.size(); ++k) {
        add_value(in, h, weights[k], in.beyond[k].value, context, planted);
      }
    }
  }
  return out;
}

}  // namespace plumbline::mutants
