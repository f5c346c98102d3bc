#include <algorithm>
#include <cmath>

#include "impl/cuda/exp.h"
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

Expected expected_of(const Problem& p, std::size_t step, std::int64_t query, std::int64_t head) {
  const std::int64_t length = p.length(step), position = p.steps[step].past + query;
  const std::int64_t kv_row = p.kv_heads * p.head_dim, kv_first = head / (p.heads / p.kv_heads) * p.head_dim;
  const float* q = p.queries.data() + ((p.steps[step].first_row + query) * p.heads + head) * p.head_dim;
  Expected result;
  std::int64_t begin = length, end = 0;
  float largest = -INFINITY;
  for (std::int64_t key = 0; key < length; ++key) {
    const float* k = p.keys[step].data() + key * kv_row + kv_first;
    float l[8] = {};
    for (std::int64_t i = 0; i < (p.head_dim + 7) / 8 * 8; ++i) {
      l[i % 8] = i < p.head_dim ? std::fmaf(q[i], k[i], l[i % 8]) : std::fmaf(0.0f, 0.0f, l[i % 8]);
    }
    const float sum = ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
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
  for (std::int64_t d = 0; d < p.head_dim; ++d) {
    float total = 0;
    for (std::int64_t first = begin / 64 * 64; first < end; first += 64) {
      float sum = 0;
      for (std::int64_t key = std::max(first, begin); key < std::min(first + 64, end); ++key) {
        sum = std::fmaf(result.probs[static_cast<std::size_t>(key)],
                        p.values[step][static_cast<std::size_t>(key * kv_row + kv_first + d)], sum);
      }
      total += sum;
    }
    result.context.push_back(rounded_to(p.storage, total));
  }
  return result;
}

}  // namespace plumbline::native::cuda::testing
