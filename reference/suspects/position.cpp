// Suspects of the position encoding: frequencies, cos and sin, rotations.
#include <cmath>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
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

double attention_factor(const Scene& s) {
  return s.model.config.rope.attention_factor;
}

// cos or sin of the f32 angles of these positions.
struct Table {
  at::Tensor cos, sin;  // f64 [rows, head_dim]
};

Table table_of(const Scene& s, const at::Tensor& positions, const at::Tensor& frequencies) {
  const at::Tensor angles = ops::rotary_angles(positions, frequencies).to(at::kDouble);
  return {angles.cos() * attention_factor(s), angles.sin() * attention_factor(s)};
}

Table table_at(const Scene& s, const at::Tensor& positions) {
  return table_of(s, positions, s.in.frequencies().table);
}

// An engine's own frequencies may be some ulp away: 2u angle |derivative|, as for the right op.
Mistaken wave(const Scene& s, const Table& table, bool own_frequencies, const at::Tensor& positions) {
  const bool cosine = s.site.probe == Probe::cos;
  const at::Tensor y = cosine ? table.cos : table.sin;
  at::Tensor bound = at::full_like(y, kUnitRoundoff * attention_factor(s));
  if (own_frequencies) {
    const at::Tensor other = cosine ? table.sin : table.cos;
    const at::Tensor angles = ops::rotary_angles(positions, s.in.frequencies().table).to(at::kDouble);
    bound = bound + 8.0 * kUnitRoundoff * (angles * other).abs();
  }
  return {y, bound};
}

at::Tensor positions_of(const Scene& s) {
  return s.in.positions(s.rows());
}

using Positions = std::function<at::Tensor(const Scene&)>;
struct MistakenPositions {
  std::string name;
  std::string meaning;
  Positions positions;
};

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

// x: [rows, heads, head_dim]
at::Tensor vectors(const Scene& s) {
  return s.input(0).view({s.rows(), -1, s.model.config.head_dim});
}

Table recorded_table(const Scene& s) {
  if (s.in.has({Probe::cos, -1}) && s.in.has({Probe::sin, -1})) {
    return {s.in.probe({Probe::cos, -1}, s.rows()), s.in.probe({Probe::sin, -1}, s.rows())};
  }
  return table_at(s, positions_of(s));
}

Mistaken rotated(const Scene& s, const at::Tensor& y) {
  return {y, ops::rope_bound(vectors(s), attention_factor(s))};
}

// [.., head_dim] with channels 2i and 2i + 1 as a pair: (-x[2i+1], x[2i])
at::Tensor rotate_pairs(const at::Tensor& x) {
  const at::Tensor even = x.slice(-1, 0, x.size(-1), 2), odd = x.slice(-1, 1, x.size(-1), 2);
  return at::stack({-odd, even}, -1).flatten(-2);
}

// The table of pairs: each frequency beside itself.
at::Tensor for_pairs(const at::Tensor& wave) {
  return wave.narrow(-1, 0, wave.size(-1) / 2).repeat_interleave(2, -1);
}

at::Tensor halves_swapped(const at::Tensor& x) {
  const std::vector<at::Tensor> halves = x.chunk(2, -1);
  return at::cat({halves[1], halves[0]}, -1);
}

void add_pairing(Lineup& lineup) {
  lineup.add("rotary pairs interleaved",
             "channels 2i and 2i + 1 are rotated together, not i and i + head_dim / 2", [](const Scene& s) {
               const at::Tensor x = vectors(s), y = rotate_pairs(x);
               const Table t = recorded_table(s);
               Mistaken made =
                   rotated(s, x * for_pairs(t.cos).unsqueeze(1) + y * for_pairs(t.sin).unsqueeze(1));
               made.bound = 4.0 * kUnitRoundoff * attention_factor(s) * (x.abs() + y.abs());
               return made;
             });
  lineup.add("rotary pairs interleaved, table of halves",
             "channels 2i and 2i + 1 are rotated together, by frequencies laid out for halves",
             [](const Scene& s) {
               const at::Tensor x = vectors(s), y = rotate_pairs(x);
               const Table t = recorded_table(s);
               Mistaken made = rotated(s, x * t.cos.unsqueeze(1) + y * t.sin.unsqueeze(1));
               made.bound = 4.0 * kUnitRoundoff * attention_factor(s) * (x.abs() + y.abs());
               return made;
             });
  lineup.add("table laid out for pairs", "the halves are rotated by a table made for interleaved pairs",
             [](const Scene& s) {
               const Table t = recorded_table(s);
               return rotated(s, ops::rope(vectors(s), for_pairs(t.cos), for_pairs(t.sin)));
             });
  lineup.add(
      "channels de-interleaved before the rotation", "the weights are for halves, the code gathers pairs",
      [](const Scene& s) {
        const at::Tensor x = vectors(s);
        const at::Tensor gathered = x.view({x.size(0), x.size(1), -1, 2}).transpose(2, 3).reshape(x.sizes());
        const Table t = recorded_table(s);
        Mistaken made = rotated(s, ops::rope(gathered, t.cos, t.sin));
        made.bound = ops::rope_bound(gathered, attention_factor(s));
        return made;
      });
}

void add_rotation(Lineup& lineup) {
  lineup.add("rotary sign flipped", "the rotation runs the other way", [](const Scene& s) {
    const Table t = recorded_table(s);
    return rotated(s, ops::rope(vectors(s), t.cos, -t.sin));
  });
  lineup.add("not rotated", "the projection goes on as it is", [](const Scene& s) {
    const at::Tensor x = vectors(s);
    return Mistaken{x, at::zeros_like(x)};
  });
  lineup.add("rotated twice", "the rotation is applied again to what was rotated", [](const Scene& s) {
    const Table t = recorded_table(s);
    Mistaken made = rotated(s, ops::rope(ops::rope(vectors(s), t.cos, t.sin), t.cos, t.sin));
    made.bound = 3.0 * made.bound;
    return made;
  });
  lineup.add("both halves with the same sign", "x sin is added in the first half too", [](const Scene& s) {
    const at::Tensor x = vectors(s);
    const Table t = recorded_table(s);
    return rotated(s, x * t.cos.unsqueeze(1) + halves_swapped(x) * t.sin.unsqueeze(1));
  });
  lineup.add("rotated in place", "the second half reads the first half's new values", [](const Scene& s) {
    const at::Tensor x = vectors(s);
    const Table t = recorded_table(s);
    const std::vector<at::Tensor> parts = x.chunk(2, -1);
    const std::int64_t half = parts[0].size(-1);
    const at::Tensor cos = t.cos.narrow(-1, 0, half).unsqueeze(1),
                     sin = t.sin.narrow(-1, 0, half).unsqueeze(1);
    const at::Tensor first = parts[0] * cos - parts[1] * sin;
    Mistaken made = rotated(s, at::cat({first, parts[1] * cos + first * sin}, -1));
    made.bound = 2.0 * made.bound;
    return made;
  });
  lineup.add("cos and sin swapped", "each table is used for the other", [](const Scene& s) {
    const Table t = recorded_table(s);
    return rotated(s, ops::rope(vectors(s), t.sin, t.cos));
  });
  lineup.add("rotation before the bias", "the bias is added to what was rotated", [](const Scene& s) {
    const Probe source = probe_spec(s.site.probe).inputs.at(0).probe;
    const at::Tensor bias = op_weight(s.model, {source, s.site.layer}, ".bias");
    if (!bias.defined()) throw NotReplayable("no bias");
    const at::Tensor x = vectors(s), b = bias.view({1, x.size(1), x.size(2)});
    const Table t = recorded_table(s);
    Mistaken made = rotated(s, ops::rope(x - b, t.cos, t.sin) + b);
    // x was recorded with the bias: taking it off again leaves that sum's rounding in.
    made.bound = 2.0 * ops::rope_bound(x.abs() + b.abs(), attention_factor(s));
    return made;
  });
  lineup.add("only the first head rotated", "the loop over heads ends after one", [](const Scene& s) {
    const at::Tensor x = vectors(s);
    const Table t = recorded_table(s);
    const at::Tensor y = x.clone();
    y.narrow(1, 0, 1).copy_(ops::rope(x, t.cos, t.sin).narrow(1, 0, 1));
    return rotated(s, y);
  });
  lineup.add(
      "heads and channels exchanged", "the projection is read as [head_dim, heads]", [](const Scene& s) {
        const at::Tensor x = vectors(s);
        const at::Tensor other = x.reshape({x.size(0), x.size(2), x.size(1)}).transpose(1, 2).contiguous();
        const Table t = recorded_table(s);
        Mistaken made = rotated(s, ops::rope(other, t.cos, t.sin));
        made.bound = ops::rope_bound(other, attention_factor(s));
        return made;
      });
}

void add_table_precision(Lineup& lineup) {
  for (const auto& [type, name] : {std::pair{DType::bf16, "bf16"}, std::pair{DType::f16, "f16"}}) {
    lineup.add(std::string(name) + " cos and sin", "the tables are rounded to a half type",
               [type = type](const Scene& s) {
                 const Table t = recorded_table(s);
                 return rotated(s, ops::rope(vectors(s), rounded_to(t.cos, type), rounded_to(t.sin, type)));
               });
    lineup.add(std::string(name) + " inputs", "the projection is rounded to a half type",
               [type = type](const Scene& s) {
                 const Table t = recorded_table(s);
                 return rotated(s, ops::rope(rounded_to(vectors(s), type), t.cos, t.sin));
               });
  }
}

}  // namespace

void suspect_frequencies(Lineup& lineup) {
  const ModelConfig& config = lineup.scene().model.config;
  for (const auto& [theta, name] : other_thetas(config)) {
    lineup.add(name, "rope_theta of the config is not read", [theta = theta](const Scene& s) {
      return frequencies(plain_frequencies(s.model.config, theta));
    });
  }
  const auto add = [&](const char* name, const char* meaning, at::Tensor (*formula)(const ModelConfig&)) {
    lineup.add(name, meaning, [=](const Scene& s) { return frequencies(formula(s.model.config)); });
  };
  add("exponent i / head_dim", "theta^(-i/d): the 2 is missing",
      [](const ModelConfig& c) { return plain_frequencies(c, std::sqrt(c.rope.theta)); });
  add("exponent over half of head_dim", "theta^(-2i/(d/2))",
      [](const ModelConfig& c) { return plain_frequencies(c, c.rope.theta * c.rope.theta); });
  add("exponent over hidden_size", "theta^(-2i/hidden)", [](const ModelConfig& c) {
    const double ratio = static_cast<double>(c.head_dim) / static_cast<double>(c.hidden_size);
    return plain_frequencies(c, std::pow(c.rope.theta, ratio));
  });
  add("exponent counted from 1", "theta^(-2(i+1)/d)", [](const ModelConfig& c) {
    return plain_frequencies(c, c.rope.theta) *
           std::pow(c.rope.theta, -2.0 / static_cast<double>(c.head_dim));
  });
  add("reciprocal missing", "theta^(2i/d)",
      [](const ModelConfig& c) { return 1.0 / plain_frequencies(c, c.rope.theta); });
  add("frequencies reversed", "the slowest comes first",
      [](const ModelConfig& c) { return plain_frequencies(c, c.rope.theta).flip(0); });
  if (config.rope.type == "yarn") {
    add("YaRN left out", "the rope type of the config is not read",
        [](const ModelConfig& c) { return plain_frequencies(c, c.rope.theta); });
    add("linear scaling instead of YaRN", "every frequency is divided by the factor",
        [](const ModelConfig& c) { return plain_frequencies(c, c.rope.theta) / c.rope.factor; });
  }
}

void suspect_waves(Lineup& lineup) {
  lineup.add("cos and sin swapped", "each holds the other's values", [](const Scene& s) {
    const Table t = table_at(s, positions_of(s));
    return wave(s, {t.sin, t.cos}, false, positions_of(s));
  });
  for (const MistakenPositions& mistaken : mistaken_positions()) {
    lineup.add(mistaken.name, mistaken.meaning, [positions = mistaken.positions](const Scene& s) {
      return wave(s, table_at(s, positions(s)), !s.in.frequencies().recorded, positions(s));
    });
  }
  for (const auto& [theta, name] : other_thetas(lineup.scene().model.config)) {
    lineup.add(name, "rope_theta of the config is not read", [theta = theta](const Scene& s) {
      const at::Tensor table = plain_frequencies(s.model.config, theta).to(at::kFloat);
      return wave(s, table_of(s, positions_of(s), table), true, positions_of(s));
    });
  }
  lineup.add("table laid out for pairs", "each frequency beside itself, as for interleaved pairs",
             [](const Scene& s) {
               const Table t = table_at(s, positions_of(s));
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
  if (attention_factor(lineup.scene()) == 1) return;
  lineup.add("YaRN's factor missing", "cos and sin are not multiplied by the attention factor",
             [](const Scene& s) {
               const Table t = table_at(s, positions_of(s));
               const double factor = attention_factor(s);
               return wave(s, {t.cos / factor, t.sin / factor}, false, positions_of(s));
             });
}

void suspect_rope(Lineup& lineup) {
  add_pairing(lineup);
  add_rotation(lineup);
  for (const MistakenPositions& mistaken : mistaken_positions()) {
    lineup.add(mistaken.name, mistaken.meaning, [positions = mistaken.positions](const Scene& s) {
      const Table t = table_at(s, positions(s));
      Mistaken made = rotated(s, ops::rope(vectors(s), t.cos, t.sin));
      made.bound = 2.0 * made.bound;  // cos and sin are the engine's own here
      return made;
    });
  }
  add_table_precision(lineup);
}

}  // namespace plumbline::reference
