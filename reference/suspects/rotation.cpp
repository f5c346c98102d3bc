// Suspects of rotations.
#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/suspects_position_torch.h"

namespace plumbline::reference {
namespace {

using ops::kUnitRoundoff;

// x: [rows, heads, head_dim]
at::Tensor vectors(const Scene& s) {
  return s.input(0).view({s.rows(), -1, s.model.config.head_dim});
}

bool tables_recorded(const Scene& s) {
  return s.in.has({Probe::cos, -1}) && s.in.has({Probe::sin, -1});
}

WaveTable recorded_table(const Scene& s) {
  if (tables_recorded(s)) {
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

at::Tensor halves_swapped(const at::Tensor& x) {
  const std::vector<at::Tensor> halves = x.chunk(2, -1);
  return at::cat({halves[1], halves[0]}, -1);
}

void add_pairing(Lineup& lineup) {
  lineup.add("rotary pairs interleaved",
             "channels 2i and 2i + 1 are rotated together, not i and i + head_dim / 2", [](const Scene& s) {
               const at::Tensor x = vectors(s), y = rotate_pairs(x);
               const WaveTable t = recorded_table(s);
               Mistaken made =
                   rotated(s, x * for_pairs(t.cos).unsqueeze(1) + y * for_pairs(t.sin).unsqueeze(1));
               made.bound = 4.0 * kUnitRoundoff * attention_factor(s) * (x.abs() + y.abs());
               return made;
             });
  lineup.add("rotary pairs interleaved, table of halves",
             "channels 2i and 2i + 1 are rotated together, by frequencies laid out for halves",
             [](const Scene& s) {
               const at::Tensor x = vectors(s), y = rotate_pairs(x);
               const WaveTable t = recorded_table(s);
               Mistaken made = rotated(s, x * t.cos.unsqueeze(1) + y * t.sin.unsqueeze(1));
               made.bound = 4.0 * kUnitRoundoff * attention_factor(s) * (x.abs() + y.abs());
               return made;
             });
  lineup.add("table laid out for pairs", "the halves are rotated by a table made for interleaved pairs",
             [](const Scene& s) {
               const WaveTable t = recorded_table(s);
               return rotated(s, ops::rope(vectors(s), for_pairs(t.cos), for_pairs(t.sin)));
             });
  lineup.add(
      "channels de-interleaved before the rotation", "the weights are for halves, the code gathers pairs",
      [](const Scene& s) {
        const at::Tensor x = vectors(s);
        const at::Tensor gathered = x.view({x.size(0), x.size(1), -1, 2}).transpose(2, 3).reshape(x.sizes());
        const WaveTable t = recorded_table(s);
        Mistaken made = rotated(s, ops::rope(gathered, t.cos, t.sin));
        made.bound = ops::rope_bound(gathered, attention_factor(s));
        return made;
      });
}

void add_part(Lineup& lineup) {
  lineup.add("half of each head rotated", "the loop over the pairs i, i + head_dim / 2 ends halfway",
             [](const Scene& s) {
               const at::Tensor x = vectors(s);
               const WaveTable t = recorded_table(s);
               const std::int64_t pairs = x.size(2) / 2;
               const at::Tensor turned = at::arange(x.size(2), at::kLong).remainder(pairs).lt(pairs / 2);
               return rotated(s, at::where(turned, ops::rope(x, t.cos, t.sin), x));
             });
  lineup.add("only the first half of each head's channels rotated",
             "a partial rotation (rotary_dim = head_dim / 2): channels i and i + head_dim / 4 are a pair",
             [](const Scene& s) {
               const at::Tensor x = vectors(s);
               const WaveTable t = recorded_table(s);
               const std::int64_t size = x.size(2) / 4 * 2;
               if (size == 0) throw NotReplayable("heads too small");
               const at::Tensor part = x.narrow(2, 0, size).contiguous();
               const at::Tensor y = ops::rope(part, t.cos.narrow(1, 0, size), t.sin.narrow(1, 0, size));
               const std::int64_t rest = x.size(2) - size;
               const at::Tensor left = x.narrow(2, size, rest);
               return Mistaken{
                   at::cat({y, left}, 2),
                   at::cat({ops::rope_bound(part, attention_factor(s)), at::zeros_like(left)}, 2)};
             });
}

void add_rotation(Lineup& lineup) {
  lineup.add("rotary sign flipped", "the rotation runs the other way", [](const Scene& s) {
    const WaveTable t = recorded_table(s);
    return rotated(s, ops::rope(vectors(s), t.cos, -t.sin));
  });
  lineup.add("not rotated", "the projection goes on as it is", [](const Scene& s) {
    const at::Tensor x = vectors(s);
    return Mistaken{x, at::zeros_like(x)};
  });
  lineup.add("rotated twice", "the rotation is applied again to what was rotated", [](const Scene& s) {
    const WaveTable t = recorded_table(s);
    Mistaken made = rotated(s, ops::rope(ops::rope(vectors(s), t.cos, t.sin), t.cos, t.sin));
    made.bound = 3.0 * made.bound;
    return made;
  });
  lineup.add("both halves with the same sign", "x sin is added in the first half too", [](const Scene& s) {
    const at::Tensor x = vectors(s);
    const WaveTable t = recorded_table(s);
    return rotated(s, x * t.cos.unsqueeze(1) + halves_swapped(x) * t.sin.unsqueeze(1));
  });
  lineup.add("rotated in place", "the second half reads the first half's new values", [](const Scene& s) {
    const at::Tensor x = vectors(s);
    const WaveTable t = recorded_table(s);
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
    const WaveTable t = recorded_table(s);
    return rotated(s, ops::rope(vectors(s), t.sin, t.cos));
  });
  lineup.add("rotation before the bias", "the bias is added to what was rotated", [](const Scene& s) {
    const Probe source = probe_spec(s.site.probe).inputs.at(0).probe;
    const at::Tensor bias = op_weight(s.model, {source, s.site.layer}, ".bias");
    if (!bias.defined()) throw NotReplayable("no bias");
    const at::Tensor x = vectors(s), b = bias.view({1, x.size(1), x.size(2)});
    const WaveTable t = recorded_table(s);
    Mistaken made = rotated(s, ops::rope(x - b, t.cos, t.sin) + b);
    // x was recorded with the bias: taking it off again leaves that sum's rounding in.
    made.bound = 2.0 * ops::rope_bound(x.abs() + b.abs(), attention_factor(s));
    return made;
  });
  lineup.add("only the first head rotated", "the loop over heads ends after one", [](const Scene& s) {
    const at::Tensor x = vectors(s);
    const WaveTable t = recorded_table(s);
    const at::Tensor y = x.clone();
    y.narrow(1, 0, 1).copy_(ops::rope(x, t.cos, t.sin).narrow(1, 0, 1));
    return rotated(s, y);
  });
  lineup.add(
      "heads and channels exchanged", "the projection is read as [head_dim, heads]", [](const Scene& s) {
        const at::Tensor x = vectors(s);
        const at::Tensor other = x.reshape({x.size(0), x.size(2), x.size(1)}).transpose(1, 2).contiguous();
        const WaveTable t = recorded_table(s);
        Mistaken made = rotated(s, ops::rope(other, t.cos, t.sin));
        made.bound = ops::rope_bound(other, attention_factor(s));
        return made;
      });
}

// By cos and sin that the engine made itself, of these frequencies.
Mistaken rotated_by(const Scene& s, const at::Tensor& positions, const at::Tensor& frequencies) {
  const WaveTable t = table_of(s, positions, frequencies);
  Mistaken made = rotated(s, ops::rope(vectors(s), t.cos, t.sin));
  made.bound = 2.0 * made.bound;
  if (!s.in.frequencies().recorded) {
    const at::Tensor angles = ops::rotary_angles(positions, frequencies).to(at::kDouble);
    made.bound = ops::rope_bound_own_table(vectors(s), t.cos, t.sin, angles);
  }
  return made;
}

// Frequencies and their factor are suspected where nobody sees the tables that are made of them.
void add_tables(Lineup& lineup) {
  for (const MistakenPositions& mistaken : mistaken_positions()) {
    lineup.add(mistaken.name, mistaken.meaning, [positions = mistaken.positions](const Scene& s) {
      return rotated_by(s, positions(s), s.in.frequencies().table);
    });
  }
  const Scene& here = lineup.scene();
  if (tables_recorded(here)) return;
  for (const MistakenFrequencies& mistaken : mistaken_frequencies(here.model.config)) {
    lineup.add(mistaken.name, mistaken.meaning, [table = mistaken.table](const Scene& s) {
      return rotated_by(s, positions_of(s), table.to(at::kFloat));
    });
  }
  if (attention_factor(here) == 1) return;
  lineup.add("YaRN's factor missing", "cos and sin are not multiplied by the attention factor",
             [](const Scene& s) {
               Mistaken made = rotated_by(s, positions_of(s), s.in.frequencies().table);
               made.output = made.output / attention_factor(s);
               return made;
             });
}

void add_table_precision(Lineup& lineup) {
  for (const auto& [type, name] : {std::pair{DType::bf16, "bf16"}, std::pair{DType::f16, "f16"}}) {
    lineup.add(std::string(name) + " cos and sin", "the tables are rounded to a half type",
               [type = type](const Scene& s) {
                 const WaveTable t = recorded_table(s);
                 return rotated(s, ops::rope(vectors(s), rounded_to(t.cos, type), rounded_to(t.sin, type)));
               });
    lineup.add(std::string(name) + " inputs", "the projection is rounded to a half type",
               [type = type](const Scene& s) {
                 const WaveTable t = recorded_table(s);
                 return rotated(s, ops::rope(rounded_to(vectors(s), type), t.cos, t.sin));
               });
  }
}

}  // namespace

void suspect_rope(Lineup& lineup) {
  add_pairing(lineup);
  add_part(lineup);
  add_rotation(lineup);
  add_tables(lineup);
  add_table_precision(lineup);
  const auto right = [](const Scene& s) {
    const WaveTable t = recorded_table(s);
    return ops::rope(vectors(s), t.cos, t.sin);
  };
  suspect_roundings(lineup, right, [right](const Scene& s, DType dtype) {
    const WaveTable t = recorded_table(s);
    return ops::rope_rounded(vectors(s), t.cos, t.sin, right(s), dtype).emulated;
  });
}

}  // namespace plumbline::reference
