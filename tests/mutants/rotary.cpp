#include "tests/mutants/rotary.h"

#include <algorithm>

namespace plumbline::mutants {
namespace {

constexpr int kShortTable = 24;  // positions in the table of Mistake::table_too_short

// The pair whose wave turns `rotations` times within the original length (YaRN, arXiv 2309.00071,
// section 3.2).
double pair_that_turns(double rotations, const Architecture& a) {
  const double turns = a.yarn->original_length / (rotations * 2 * M_PI);
  return a.head_dim * std::log(turns) / (2 * std::log(a.theta));
}

// 0 where YaRN keeps a frequency, 1 where it divides it by the factor. 32 and 1 rotations are its defaults.
double yarn_ramp(int pair, const Architecture& a, Mistake planted) {
  if (planted == Mistake::yarn_scales_all) return 1;
  const double low = std::max(std::floor(pair_that_turns(32, a)), 0.0);
  double high = std::min(std::ceil(pair_that_turns(1, a)), a.head_dim - 1.0);
  if (high == low) high += 0.001;
  const double ramp = std::clamp((pair - low) / (high - low), 0.0, 1.0);
  return planted == Mistake::yarn_ramp_reversed ? 1 - ramp : ramp;
}

float attention_factor(const Architecture& a, Mistake planted) {
  const bool none = !a.yarn || planted == Mistake::yarn_ignored || planted == Mistake::yarn_factor_missing;
  return none ? 1.0f : static_cast<float>(0.1 * std::log(a.yarn->factor) + 1);
}

std::int64_t position_for_angle(const std::vector<std::int64_t>& positions, std::size_t token,
                                Mistake planted) {
  if (planted == Mistake::angles_of_first_token) return positions[0];
  if (planted == Mistake::angles_off_by_one) return positions[token] + 1;
  if (planted == Mistake::table_too_short) return std::min<std::int64_t>(positions[token], kShortTable - 1);
  return positions[token];
}

}  // namespace

std::vector<float> inverse_frequencies(const Architecture& a, Mistake planted) {
  std::vector<float> out;
  for (int pair = 0; pair < a.head_dim / 2; ++pair) {
    const double over = planted == Mistake::exponent_over_hidden ? a.hidden : a.head_dim;
    const double theta = planted == Mistake::theta_off ? a.theta * 1.0001 : a.theta;
    double frequency = std::pow(theta, -2.0 * pair / over);
    if (a.yarn && planted != Mistake::yarn_ignored) {
      const double ramp = yarn_ramp(pair, a, planted);
      frequency = frequency / a.yarn->factor * ramp + frequency * (1 - ramp);
    }
    const auto rounded = static_cast<float>(frequency);
    out.push_back(planted == Mistake::inv_freq_in_bf16 ? to_bf16(rounded) : rounded);
  }
  return out;
}

Wave wave_of(const Architecture& a, const std::vector<float>& frequencies,
             const std::vector<std::int64_t>& positions, Mistake planted, const Format& format) {
  const int tokens = static_cast<int>(positions.size());
  const float factor = attention_factor(a, planted);
  const bool narrow = planted == Mistake::cos_sin_in_bf16;
  Wave wave{Rows(tokens, a.head_dim), Rows(tokens, a.head_dim)};
  for (int t = 0; t < tokens; ++t) {
    auto position = static_cast<float>(position_for_angle(positions, static_cast<std::size_t>(t), planted));
    if (planted == Mistake::positions_in_bf16) position = to_bf16(position);
    for (int i = 0; i < a.head_dim; ++i) {
      float angle = position * frequencies[static_cast<std::size_t>(i % (a.head_dim / 2))];
      if (planted == Mistake::angles_in_storage) angle = format.stored(angle);
      const float cos = std::cos(angle) * factor, sin = std::sin(angle) * factor;
      wave.cos.row(t)[i] = narrow ? to_bf16(cos) : cos;
      wave.sin.row(t)[i] = narrow ? to_bf16(sin) : sin;
    }
  }
  format.store_inner(wave.cos);
  format.store_inner(wave.sin);
  if (planted == Mistake::cos_sin_swapped) std::swap(wave.cos, wave.sin);
  return wave;
}

void rotate(float* head, int head_dim, const float* cos, const float* sin, Mistake planted,
            const Format& format) {
  const auto product = [&](float a, float b) {
    return planted == Mistake::rope_rounded_once ? a * b : format.inner(a * b);
  };
  const int pairs = head_dim / 2;
  for (int i = 0; i < pairs; ++i) {
    const bool neighbours = planted == Mistake::pairs_interleaved;
    const int first = neighbours ? 2 * i : i, second = neighbours ? 2 * i + 1 : i + pairs;
    if (planted == Mistake::half_of_head_rotated && i >= pairs / 2) continue;
    const float x1 = head[first], x2 = head[second];
    float s = sin[i];
    if (planted == Mistake::sign_flipped) s = -s;
    const float sine = product(x2, s);
    const float cosine = product(x1, cos[i]);
    head[first] = planted == Mistake::minus_lost ? cosine + sine : cosine - sine;
    head[second] = product(x2, cos[i]) + product(x1, s);
  }
}

}  // namespace plumbline::mutants
