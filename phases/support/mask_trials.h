// What the cases of masks and positions feed in: many small tensors as one, scores in each type, rows in
// which nothing is allowed, rotations far out.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "harness/judge.h"
#include "harness/trace.h"
#include "phases/support/sides.h"

namespace plumbline::phases {

// Tensors of one type end to end, so that one check covers them all.
class EndToEnd {
 public:
  void add(const TensorView& tensor);
  Tensor joined() const;                                 // [elements of all]
  const std::string& shapes() const { return shapes_; }  // "[5, 5] [1, 6] [1, 7]"

 private:
  DType dtype_ = DType::f32;
  std::vector<std::byte> bytes_;
  std::string shapes_;
};

// Normal with deviation 2, one value of -20 at the end of each row where `deep`; rounded to f32, bf16 or f16.
Tensor scores_in(DType dtype, Shape shape, bool deep = false);

// What softmax made of one row: "NaN", "0", "uniform" (all the same), "uneven".
std::string outcome_of(const Tensor& weights, std::int64_t row);

// Booleans [lengths, longest]: rows of these lengths, filled up at the left.
Tensor left_padded(std::span<const std::int64_t> lengths);
// The places of a [batch, length, length] mask where both query and key are real: a view.
TensorView real_part(const Tensor& padded, std::int64_t sequence, std::int64_t length);

// first, first + 1, … as the native engine counts them.
// How far two softmaxes of f32 may part.
double softmax_ceiling();

Tensor native_positions(std::int64_t past, std::int64_t tokens);
// Converted as the native engine's angle does.
Tensor as_f32(const Tensor& whole_numbers);

// Random rows rotated natively at `tokens` positions from `first`, with the checkpoint's frequencies: a step
// of layer 0 with positions, frequencies, cos, sin and the queries before and after.
Trace rotation(std::int64_t first, std::int64_t tokens);
// Of the same without its frequencies: the gate of cos and sin then knows the angle's own error.
Trace without_frequencies(Trace trace);
// These sites against their replays.
Judgement judged_sites(const Trace& trace, std::span<const OpSite> sites);

// "refused" where an Error is thrown, else "went on".
std::string refusal(const std::function<void()>& body);

// Milliseconds that one call took.
double milliseconds(const std::function<void()>& body);

// The masks and positions that the subject used in the steps of one run.
Trace recorded_inputs(const Prompt& prompt, std::span<const std::int64_t> split, CacheKind kind);

// Ways to feed a prompt of this length: everything at once, then token by token; and chunks.
struct Split {
  std::string name;
  std::vector<std::int64_t> lengths;
};
std::vector<Split> splits(std::int64_t length);

}  // namespace plumbline::phases
