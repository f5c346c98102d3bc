// What suspects of cos and sin and of rotations share: tables, and positions that were mistaken.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {

double attention_factor(const Scene& s);  // YaRN's; 1 without it

// cos and sin of the f32 angles of some positions, times the attention factor.
struct WaveTable {
  at::Tensor cos, sin;  // f64 [rows, head_dim]
};

WaveTable table_of(const Scene& s, const at::Tensor& positions, const at::Tensor& frequencies);
WaveTable table_at(const Scene& s, const at::Tensor& positions);  // by the subject's frequencies
// The table of interleaved pairs: each frequency beside itself. wave: [rows, head_dim]
at::Tensor for_pairs(const at::Tensor& wave);

at::Tensor positions_of(const Scene& s);  // the recorded ones

struct MistakenPositions {
  std::string name;
  std::string meaning;
  std::function<at::Tensor(const Scene&)> positions;
};

std::vector<MistakenPositions> mistaken_positions();

struct MistakenFrequencies {
  std::string name;
  std::string meaning;
  at::Tensor table;  // f64 [head_dim / 2]
};

std::vector<MistakenFrequencies> mistaken_frequencies(const ModelConfig& config);

}  // namespace plumbline::reference
