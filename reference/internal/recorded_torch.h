// The inputs of a replay: what the subject recorded, checked, aligned to the rows that are judged, in f64.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "harness/replay.h"
#include "reference/internal/weights_torch.h"

namespace plumbline::reference {

// No recorded probes lead to the site that was asked for; its text is Replayer's `why`.
class NotReplayable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A table of frequencies: the subject's, or the reference's where the subject's is unknown or wrong.
struct Frequencies {
  at::Tensor table;       // f32 [head_dim / 2]
  bool recorded = false;  // the subject's own, and near enough to the config's exact value
};

// Shapes that follow from the config are checked; a wrong one throws Error with the probe's name. `rows`
// counts from the end of the step. Probes that exact ops make (embedding, residual, cache update) are made
// from their own inputs where they were not recorded.
class Recorded {
 public:
  Recorded(const ModelConfig& config, const Weights& weights, const RecordedStep& step, DType storage);

  // Rows of this site that the subject recorded; all of the step's where it recorded none.
  std::int64_t rows(OpSite site) const;
  bool has(OpSite site) const { return step_.find(site) != nullptr; }
  // As recorded, of whatever shape; null where it was not.
  const TensorView* find(OpSite site) const { return step_.find(site); }
  std::int64_t past() const { return step_.past_length(); }
  ForgottenRows forgotten() const { return step_.forgotten(); }
  std::int64_t tokens_before() const { return step_.tokens_before(); }
  Precision precision() const { return step_.precision(); }
  // What the engine keeps this probe in, or would keep it in.
  DType kept(Probe probe) const { return kept_in(probe, storage_, step_.precision()); }
  // Whether every elementary operation within an op rounds to a half type.
  bool rounds_each() const;
  DType cache_dtype() const { return step_.cache_dtype().value_or(storage_); }
  std::int64_t tokens() const { return step_.tokens(); }

  // The last `rows` rows, f64, as the probe's shape says. Throws NotReplayable.
  at::Tensor probe(OpSite site, std::int64_t rows) const;
  at::Tensor residual_stream(int layer, std::int64_t rows) const;  // what the layer reads
  at::Tensor cache(OpSite site) const;  // past_key or past_value, [keys, kv_heads, head_dim]
  // The same, from the cache before, without what is forgotten, and the new rows, rounded to its dtype.
  at::Tensor updated_cache(OpSite site) const;
  at::Tensor previous_cache(OpSite site) const;   // before the step, [past + forgotten, kv_heads, head_dim]
  at::Tensor token_ids(std::int64_t rows) const;  // i64; Error outside the vocabulary
  at::Tensor given_ids(std::int64_t rows) const;  // the case's, else the recorded ones
  at::Tensor positions(std::int64_t rows) const;  // the recorded ones, else given_positions
  at::Tensor given_positions(
      std::int64_t rows) const;  // i64: the case's, else counted on from tokens_before()
  at::Tensor allowed(int layer, std::int64_t rows) const;  // boolean [rows, keys], the reference's own
  Frequencies frequencies() const;

 private:
  Shape full_shape(Probe probe) const;
  void check_shape(OpSite site, const TensorView& view) const;
  at::Tensor rebuilt(OpSite site, std::int64_t rows) const;
  at::Tensor checked_ids(const at::Tensor& ids) const;

  const ModelConfig& config_;
  const Weights& weights_;
  const RecordedStep& step_;
  DType storage_;
};

// Which axis of a probe counts the step's tokens; -1 for none.
int token_axis(Probe probe);

// For each row, whether no earlier row has the same bits in all `inputs`, each [rows, …]. Empty when all
// differ.
std::vector<bool> distinct_rows(const std::vector<at::Tensor>& inputs);

}  // namespace plumbline::reference
