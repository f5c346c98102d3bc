// Activations of prefill and decode, written while the engine runs: probes' tensors in safetensors files
// ("shards") capture-00000.safetensors, capture-00001.safetensors, … of a directory.
//
// In each shard: for probes with a row of floats for every token, [rows, width] f32 under the site's name; of
// row i of all of them, origin.sequence, origin.position, origin.step [rows] i64 and origin.token [rows] i32.
// Any other probe (scores, probs, caches, masks, ids, logits) is a tensor for each call and sequence in its
// own shape and dtype, named as in traces: "seq.0/step.3/model.layers.1.self_attn.probs" is of the rows whose
// origin.sequence is 0 and origin.step 3. The metadata: format "plumbline-capture", format_version, shard
// (its number), engine, weight_hash, storage_dtype, and the sizes of the model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/output_file.h"
#include "impl/activation_buffer.h"
#include "impl/generation/step_tensors.h"

namespace plumbline::native {

struct CaptureOptions {
  std::filesystem::path directory;
  // Any probes of the forward pass: named, or by shell patterns over site names; both together are one set.
  std::vector<OpSite> probes{};
  std::vector<std::string> patterns{};
  // Tokens of a shard at most, and of one forward() call. All rows' memory is allocated for so many.
  std::int64_t shard_tokens = 4096;
  // What one call's tensors that are no rows may take, in bytes; allocated twice where there are such probes.
  std::int64_t call_bytes = std::int64_t{256} << 20;
};

class CaptureWriter final : public StepSink {
 public:
  // Makes the directory. Throws Error for no probes, one that the model does not have, a pattern that matches
  // none, a directory that cannot be written or that holds shards, sizes below 1, and more memory than there
  // is. The engine must outlive it.
  CaptureWriter(Engine& engine, CaptureOptions options);
  CaptureWriter(const CaptureWriter&) = delete;
  CaptureWriter& operator=(const CaptureWriter&) = delete;
  // Writes what finish() would; what then cannot be written is lost without a word, so call finish().
  ~CaptureWriter() override;

  // Writes a shard first where this call's tokens would not fit. Throws Error for a call of more tokens than
  // a shard has, and where the shard cannot be written: what was captured is still there, and nothing of it
  // is on the disk by half. Rows of a forward() that throws are dropped.
  void begin(std::span<const SequenceStep> steps) override;
  // Writes the rows that are not written yet, if any. Throws Error as begin() does. Captures can go on after
  // it.
  void finish();

  int shards() const { return shards_; }                // written
  std::int64_t rows() const { return tokens_.rows(); }  // not written yet

  Access access(const ProbeId& id) const override;
  // Throws Error when a call's tensors take more than call_bytes, or the engine did not show a probe.
  void receive(const ProbeId& id, const TensorView& view) override;

 private:
  void take_probes();
  std::filesystem::path shard_path(int number) const;
  std::map<std::string, std::string> metadata() const;
  [[noreturn]] void fail_incomplete() const;
  void write_shard();

  Engine& engine_;
  CaptureOptions options_;
  std::vector<OpSite> rows_of_;  // probes with a row for every token
  std::set<OpSite> others_;
  std::optional<OutputDirectory> directory_;
  std::string weight_hash_;
  CapturedTokens tokens_;
  std::optional<ActivationBuffer> buffer_;
  std::optional<StepTensors> tensors_;
  std::size_t awaited_ = 0;  // tensors that this call must show
  int shards_ = 0;
};

}  // namespace plumbline::native
