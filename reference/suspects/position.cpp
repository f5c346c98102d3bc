// Suspects of the position encoding: frequencies, cos and sin. Those of rotations are in rotation.cpp.
#include <cmath>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/suspects_position_torch.h"

namespace plumbline::reference {

double attention_factor(const Scene& s) {
  return s.model.config.rope.attention_factor;
}

WaveTable table_of(const Scene& s, const at::Tensor& positions, const at::Tensor& frequencies) {
  const at::Tensor angles = ops::rotary_angles(positions, frequencies).to(at::kDouble);
  return {angles.cos() * attention_factor(s), angles.sin() * attention_factor(s)};
}

WaveTable table_at(const Scene& s, const at::Tensor& positions) {
  return table_of(s, positions, s.in.frequencies().table);
}

at::Tensor positions_of(const Scene& s) {
  return s.in.positions(s.rows());
}

std::vector<MistakenPositions> mistaken_positions() {
  return {
      {"positions one ahead", "positions count from 1", [](const Scene& s) { return positions_of(s) + 1; }},
      {"positions one behind", "the position of the token before",
       [](const Scene& s) { return positions_of(s) - 1; }},
      {"positions restart at 0", "the cached tokens are not counted",
       [](const Scene& s) {
         const std::int64_t rows = s.rows();
         return at::arange(s.in.tokens() - rows, s.in.tokens(), at::kLong);
       }},
      {"one position for the whole step", "the step's first position is used for all its rows",
       [](const Scene& s) {
         const at::Tensor p = positions_of(s);
         return p.select(0, 0).expand_as(p);
       }},
      {"positions rounded to bf16", "whole numbers beyond 256 are lost",
       [](const Scene& s) { return positions_of(s).to(at::kBFloat16).to(at::kDouble); }},
      {"positions rounded to f16", "whole numbers beyond 2048 are lost",
       [](const Scene& s) { return positions_of(s).to(at::kHalf).to(at::kDouble); }},
  };
}

at::Tensor for_pairs(const at::Tensor& wave) {
  return wave.narrow(-1, 0, wave.size(-1) / 2).repeat_interleave(2, -1);
}

namespace {

using ops::kUnitRoundoff;

// Frequencies by another theta, exponent or scaling: f64 [head_dim / 2].
at::Tensor plain_frequencies(const ModelConfig& config, double theta) {
  const at::Tensor exponents =
      at::arange(0, config.head_dim, 2, at::kDouble) / static_cast<double>(config.head_dim);
  return 1.0 / at::pow(theta, exponents);
}

// One ulp of f32, as the right op's bound has it.
Mistaken frequencies(const at::Tensor& table) {
  const at::Tensor rounded = rounded_to(table, DType::f32);
  return {rounded, 2.0 * kUnitRoundoff * rounded.abs()};
}

std::vector<std::pair<double, std::string>> other_thetas(const ModelConfig& config) {
  std::vector<std::pair<double, std::string>> list;
  for (const auto& [theta, name] : {std::pair{1e4, "10000"}, {1e6, "1000000"}, {5e5, "500000"}}) {
    if (theta != config.rope.theta) list.emplace_back(theta, std::string("rope_theta ") + name);
  }
  return list;
}

// The theta whose plain frequencies are nearest to the subject's, by the logarithms of all but the first,
// which is 1 for any. With one of them alone any number would do.
std::optional<double> fitted_theta(const Scene& s) {
  const ModelConfig& config = s.model.config;
  const at::Tensor given = to_f64_torch(*s.actual).flatten();
  if (config.rope.type == "yarn" || given.size(0) != config.head_dim / 2 || given.size(0) < 3)
    return std::nullopt;
  const at::Tensor i = at::arange(given.size(0), at::kDouble);
  const double slope = (i * at::log(given)).sum().item<double>() / i.square().sum().item<double>();
  const double theta = std::exp(-slope * static_cast<double>(config.head_dim) / 2.0);
  return std::isfinite(theta) && theta > 1 ? std::optional<double>(theta) : std::nullopt;
}

// An engine's own frequencies may be some ulp away: 2u angle |derivative|, as for the right op.
Mistaken wave(const Scene& s, const WaveTable& table, bool own_frequencies, const at::Tensor& positions) {
  const bool cosine = s.site.probe == Probe::cos;
  const at::Tensor y = cosine ? table.cos : table.sin;
  const double factor = attention_factor(s);
  at::Tensor bound = ops::cos_sin_bound(y / factor, factor);
  if (own_frequencies) {
    const at::Tensor other = cosine ? table.sin : table.cos;
    const at::Tensor angles = ops::rotary_angles(positions, s.in.frequencies().table).to(at::kDouble);
    bound = bound + 8.0 * kUnitRoundoff * (angles * other).abs();
  }
  return {y, bound};
}

// Of a table of cos and sin that has no rows for all positions: the last one it has, where the subject's last
// rows are copies of one row.
std::int64_t last_in_table(const Scene& s) {
  const at::Tensor positions = positions_of(s), given = s.output(table_at(s, positions).cos);
  std::int64_t row = given.size(0) - 1;
  while (row > 0 && given[row].equal(given[row - 1])) --row;
  const bool some = row > 0 && row < given.size(0) - 1;
  if (!some) throw NotReplayable("not the last rows alone are copies of one");
  return positions[row].item<std::int64_t>();
}

// The length of a table that begins again at its end: the first position beyond 1 that has the row of 0.
std::int64_t table_length(const Scene& s) {
  const at::Tensor positions = positions_of(s), given = s.output(table_at(s, positions).cos);
  const WaveTable first = table_at(s, at::zeros({1}, at::kLong));
  const at::Tensor start = rounded_to(s.site.probe == Probe::cos ? first.cos : first.sin, DType::f32);
  for (std::int64_t row = 0; row < given.size(0); ++row) {
    const auto position = positions[row].item<std::int64_t>();
    if (position > 1 && given[row].equal(start[0])) return position;
  }
  throw NotReplayable("no position has the row of position 0");
}

void add_short_tables(Lineup& lineup) {
  const auto add = [&](const char* name, const char* meaning, at::Tensor (*positions)(const Scene&)) {
    lineup.add(name, meaning, [=](const Scene& s) {
      const at::Tensor p = positions(s);
      return wave(s, table_at(s, p), !s.in.frequencies().recorded, p);
    });
  };
  add("positions clamped at a table's end",
      "the table of cos and sin is shorter than the sequence: what lies beyond takes its last row",
      [](const Scene& s) { return positions_of(s).clamp_max(last_in_table(s)); });
  add("positions begin again at a table's end",
      "the table of cos and sin is shorter than the sequence: positions are taken modulo its length",
      [](const Scene& s) { return positions_of(s).remainder(table_length(s)); });
}

}  // namespace

std::vector<MistakenFrequencies> mistaken_frequencies(const ModelConfig& config) {
  const double theta = config.rope.theta;
  const auto d = static_cast<double>(config.head_dim);
  const at::Tensor plain = plain_frequencies(config, theta);
  std::vector<MistakenFrequencies> list;
  for (const auto& [other, name] : other_thetas(config)) {
    list.push_back({name, "rope_theta of the config is not read", plain_frequencies(config, other)});
  }
  list.push_back({"exponent i / head_dim", "theta^(-i/d): the 2 is missing",
                  plain_frequencies(config, std::sqrt(theta))});
  list.push_back(
      {"exponent over half of head_dim", "theta^(-2i/(d/2))", plain_frequencies(config, theta * theta)});
  list.push_back({"exponent over hidden_size", "theta^(-2i/hidden)",
                  plain_frequencies(config, std::pow(theta, d / static_cast<double>(config.hidden_size)))});
  list.push_back({"exponent counted from 1", "theta^(-2(i+1)/d)", plain * std::pow(theta, -2.0 / d)});
  list.push_back({"reciprocal missing", "theta^(2i/d)", 1.0 / plain});
  list.push_back({"frequencies reversed", "the slowest comes first", plain.flip(0)});
  if (config.rope.type != "yarn") return list;
  list.push_back({"YaRN left out", "the rope type of the config is not read", plain});
  list.push_back({"linear scaling instead of YaRN", "every frequency is divided by the factor",
                  plain / config.rope.factor});
  // Kept and divided frequencies are mixed with weights r and 1 - r: exchanged, both mixtures add up to the
  // sum of the two.
  const at::Tensor right = ops::exact_inverse_frequencies(config).to(at::kDouble);
  list.push_back({"YaRN's ramp reversed", "fast waves are divided by the factor, and slow ones kept",
                  plain + plain / config.rope.factor - right});
  return list;
}

void suspect_frequencies(Lineup& lineup) {
  for (const MistakenFrequencies& mistaken : mistaken_frequencies(lineup.scene().model.config)) {
    lineup.add(mistaken.name, mistaken.meaning,
               [table = mistaken.table](const Scene&) { return frequencies(table); });
  }
  const std::optional<double> theta = fitted_theta(lineup.scene());
  if (!theta) return;
  lineup.add(
      "rope_theta " + in_digits(*theta, 6), "another theta than the config's, found from these frequencies",
      [theta = *theta](const Scene& s) {
        Mistaken made = frequencies(plain_frequencies(s.model.config, theta));
        made.bound = 2.0 * made.bound;  // theta has the roundings of what it was found from
        return made;
      },
      /*fitted=*/true);
}

void suspect_waves(Lineup& lineup) {
  lineup.add("cos and sin swapped", "each holds the other's values", [](const Scene& s) {
    const WaveTable t = table_at(s, positions_of(s));
    return wave(s, {t.sin, t.cos}, false, positions_of(s));
  });
  for (const MistakenPositions& mistaken : mistaken_positions()) {
    lineup.add(mistaken.name, mistaken.meaning, [positions = mistaken.positions](const Scene& s) {
      return wave(s, table_at(s, positions(s)), !s.in.frequencies().recorded, positions(s));
    });
  }
  for (const MistakenFrequencies& mistaken : mistaken_frequencies(lineup.scene().model.config)) {
    lineup.add(mistaken.name, mistaken.meaning, [table = mistaken.table](const Scene& s) {
      return wave(s, table_of(s, positions_of(s), table.to(at::kFloat)), true, positions_of(s));
    });
  }
  add_short_tables(lineup);
  lineup.add("table laid out for pairs", "each frequency beside itself, as for interleaved pairs",
             [](const Scene& s) {
               const WaveTable t = table_at(s, positions_of(s));
               return wave(s, {for_pairs(t.cos), for_pairs(t.sin)}, false, positions_of(s));
             });
  lineup.add("bf16 angles", "position times frequency is rounded before cos and sin", [](const Scene& s) {
    const at::Tensor angles = ops::rotary_angles(positions_of(s), s.in.frequencies().table);
    const at::Tensor rounded = rounded_to(angles.to(at::kDouble), DType::bf16);
    return wave(s, {rounded.cos() * attention_factor(s), rounded.sin() * attention_factor(s)}, false,
                positions_of(s));
  });
  lineup.add("f16 angles", "position times frequency is rounded before cos and sin", [](const Scene& s) {
    const at::Tensor angles = ops::rotary_angles(positions_of(s), s.in.frequencies().table);
    const at::Tensor rounded = rounded_to(angles.to(at::kDouble), DType::f16);
    return wave(s, {rounded.cos() * attention_factor(s), rounded.sin() * attention_factor(s)}, false,
                positions_of(s));
  });
  lineup.add("bf16 frequencies", "the table of frequencies is rounded before it is multiplied",
             [](const Scene& s) {
               const at::Tensor table = rounded_to(s.in.frequencies().table.to(at::kDouble), DType::bf16);
               return wave(s, table_of(s, positions_of(s), table.to(at::kFloat)), false, positions_of(s));
             });
  if (attention_factor(lineup.scene()) == 1) return;
  lineup.add("YaRN's factor missing", "cos and sin are not multiplied by the attention factor",
             [](const Scene& s) {
               const WaveTable t = table_at(s, positions_of(s));
               const double factor = attention_factor(s);
               return wave(s, {t.cos / factor, t.sin / factor}, false, positions_of(s));
             });
}

}  // namespace plumbline::reference
