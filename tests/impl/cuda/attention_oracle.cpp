#include <algorithm>
#include <cmath>

#include "impl/cuda/exp.h"
#include "tests/impl/cuda/attention_oracle_mma.h"
#include "tests/impl/cuda/attention_support.h"

namespace plumbline::native::cuda::testing {

float rounded_to(DType dtype, float value) {
  return dtype == DType::bf16 ? stored<Bf16>(value) : value;
}

bool sees(const Problem& p, std::int64_t position, std::int64_t key) {
  return key <= position && (p.window == 0 || key > position - p.window);
}

KeySpan seen_by(const Problem& p, std::int64_t position) {
  std::int64_t begin = 0;
  while (!sees(p, position, begin)) ++begin;
  return {begin, position + 1};
}

namespace {

// The context over a block of keys, of which [begin, end) are allowed. values: of the head, token 0.
std::vector<float> block_sums(const Problem& p, const std::vector<float>& probs, const float* values,
                              std::int64_t first, KeySpan allowed, bool tensor_cores) {
  const std::int64_t stride = p.kv_heads * p.head_dim;
  const KeySpan keys{std::max(first, allowed.begin), std::min(first + 64, allowed.end)};
  for (std::int64_t key = keys.begin; key < keys.end; ++key) {
    for (std::int64_t d = 0; d < p.head_dim; ++d) {
      tensor_cores = tensor_cores && std::isfinite(values[key * stride + d]);
    }
  }
  std::vector<float> sums;
  for (std::int64_t d = 0; d < p.head_dim; ++d) {
    float sum = 0;
    std::vector<float> weights(64), own(64);
    for (std::int64_t key = keys.begin; key < keys.end; ++key) {
      const float weight = probs[static_cast<std::size_t>(key)], value = values[key * stride + d];
      sum = std::fmaf(weight, value, sum);
      weights[static_cast<std::size_t>(key - first)] = weight;
      own[static_cast<std::size_t>(key - first)] = value;
    }
    sums.push_back(tensor_cores ? block_on_tensor_cores(weights, own) : sum);
  }
  return sums;
}

float product_in_lanes(const float* q, const float* k, std::int64_t head_dim) {
  float l[8] = {};
  for (std::int64_t i = 0; i < (head_dim + 7) / 8 * 8; ++i) {
    l[i % 8] = i < head_dim ? std::fmaf(q[i], k[i], l[i % 8]) : std::fmaf(0.0f, 0.0f, l[i % 8]);
  }
  return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
}

}  // namespace

Expected expected_of(const Problem& p, std::size_t step, std::int64_t query, std::int64_t head,
                     bool tensor_cores) {
  const std::int64_t length = p.length(step), position = p.steps[step].past + query;
  const std::int64_t kv_row = p.kv_heads * p.head_dim, kv_first = head / (p.heads / p.kv_heads) * p.head_dim;
  const float* q = p.queries.data() + ((p.steps[step].first_row + query) * p.heads + head) * p.head_dim;
  Expected result;
  std::int64_t begin = length, end = 0;
  float largest = -INFINITY;
  for (std::int64_t key = 0; key < length; ++key) {
    const float* k = p.keys[step].data() + key * kv_row + kv_first;
    const float sum =
        tensor_cores ? product_on_tensor_cores(q, k, p.head_dim) : product_in_lanes(q, k, p.head_dim);
    result.scores.push_back(sum * p.scale);
    if (!sees(p, position, key)) continue;
    begin = std::min(begin, key);
    end = key + 1;
    largest = std::max(largest, result.scores.back());
  }
  double lanes[128] = {};
  result.probs.assign(static_cast<std::size_t>(length), 0.0f);
  for (std::int64_t key = begin; key < end; ++key) {
    const auto at = static_cast<std::size_t>(key);
    result.probs[at] = exp_not_positive(result.scores[at] - largest);
    lanes[(key - begin) % 128] += result.probs[at];
  }
  for (int half = 64; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  for (std::int64_t key = begin; key < end; ++key) {
    result.probs[static_cast<std::size_t>(key)] /= static_cast<float>(lanes[0]);
  }
  std::vector<float> totals(static_cast<std::size_t>(p.head_dim), 0.0f);
  for (std::int64_t first = begin / 64 * 64; first < end; first += 64) {
    const std::vector<float> sums =
        block_sums(p, result.probs, p.values[step].data() + kv_first, first, {begin, end}, tensor_cores);
    for (std::size_t d = 0; d < sums.size(); ++d) totals[d] += sums[d];
  }
  for (const float total : totals) result.context.push_back(rounded_to(p.storage, total));
  return result;
}

}  // namespace plumbline::native::cuda::testing
