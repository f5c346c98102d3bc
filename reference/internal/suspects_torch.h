// Suspects, one function for each area: known mistakes as literal formulas in f64, over the inputs that the
// subject recorded. The more specific and the more usual come first: that decides between two that give the
// same here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "harness/suspects.h"
#include "reference/internal/recorded_torch.h"
#include "reference/internal/replay_torch.h"

namespace plumbline::reference {

// One failed op and what it read.
struct Scene {
  ReplayModel model;
  Recorded in;
  OpSite site;
  const TensorView* actual;  // what the subject gave

  std::int64_t rows() const { return in.rows(site); }
  int layer() const { return site.layer; }
  at::Tensor input(std::size_t i) const { return op_input(model, in, site, i, rows()); }
  at::Tensor probe(Probe probe) const { return in.probe({probe, site.layer}, rows()); }
  at::Tensor weight(const std::string& kind = ".weight") const { return op_weight(model, site, kind); }
  // What the subject gave, f64. Throws NotReplayable where it has not the shape of `like`.
  at::Tensor output(const at::Tensor& like) const;
  bool slides() const;  // a layer of sliding attention
  // The neighbours' numbers, then the first and the last layer's; without this one's.
  std::vector<std::pair<int, std::string>> other_layers() const;
};

// What a mistaken op gives, f64, and the bound of its arithmetic; an undefined bound is the right op's. Where
// `evidence` is false, the mistake leaves open what stands there.
struct Mistaken {
  at::Tensor output;
  at::Tensor bound = {};
  at::Tensor evidence = {};
  bool as_stored = false;  // every rounding of a half type is in `output`
};

// A list in the making. Formulas run when their suspect is asked for, and may throw NotReplayable.
class Lineup {
 public:
  explicit Lineup(std::shared_ptr<const Scene> scene) : scene_(std::move(scene)) {}
  const Scene& scene() const { return *scene_; }
  // fitted: has numbers taken from the subject's output (harness/suspects.h).
  void add(std::string name, std::string meaning, std::function<Mistaken(const Scene&)> formula,
           bool fitted = false);
  std::vector<Suspect> take() { return std::move(list_); }

 private:
  std::shared_ptr<const Scene> scene_;
  std::vector<Suspect> list_;
};

// All that fit this class of op.
std::vector<Suspect> suspects_for(std::shared_ptr<const Scene> scene, OpClass op);

void suspect_inputs(Lineup& lineup);  // token ids, positions, masks
void suspect_frequencies(Lineup& lineup);
void suspect_waves(Lineup& lineup);  // cos, sin
void suspect_rope(Lineup& lineup);   // rotation.cpp
void suspect_embedding(Lineup& lineup);
void suspect_norm(Lineup& lineup);
void suspect_linear(Lineup& lineup);
void suspect_residual(Lineup& lineup);
void suspect_silu_mul(Lineup& lineup);
void suspect_cache(Lineup& lineup);
void suspect_scores(Lineup& lineup);
void suspect_softmax(Lineup& lineup);  // softmax.cpp
void suspect_context(Lineup& lineup);
void suspect_fused_attention(Lineup& lineup);

// In half storage: the right op, rounded once where each of its operations should be, or the other way round.
// `right`: f64, not rounded; `each`: rounded to this type after every operation.
void suspect_roundings(Lineup& lineup, std::function<at::Tensor(const Scene&)> right,
                       std::function<at::Tensor(const Scene&, DType)> each);

// A mask that some mistake gives: boolean [rows, keys].
struct MistakenMask {
  std::string name;
  std::string meaning;
  std::function<at::Tensor(const Scene&)> allowed;
};
std::vector<MistakenMask> mistaken_masks(const Scene& scene, bool slides);

// A number for a suspect's name: 10001, 17.5, 1e+06.
std::string in_digits(double value, int digits);

// Mantissas of 10 bits, as tensor cores read f32: to nearest, or cut.
at::Tensor to_tf32(const at::Tensor& f64);
at::Tensor cut_to_tf32(const at::Tensor& f64);

}  // namespace plumbline::reference
