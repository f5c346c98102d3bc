// What must not change a bit of the native engine's logits: how the tokens are cut into calls, what else is
// in the batch, which cache holds the keys, what it held before, how many threads compute. Measured over any
// engine, so that the reference's own differences can be shown beside.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "phases/support/cache_specs.h"

namespace plumbline::phases {

struct Invariance {
  std::string name;
  std::int64_t runs = 0;       // compared with the whole prefill
  std::int64_t logits = 0;     // of them
  std::int64_t different = 0;  // logits of other bits
  double largest = 0;          // |difference| of those; infinity where one is NaN
  std::string first;           // where the first differs
};

// Logits [rows, vocab] of the steps of one run, in order.
using LogitRows = std::vector<Tensor>;

class Invariances {
 public:
  // Random prompts and splits over `engine`, from `seed`; `where` names the model in what is reported. `few`
  // takes a shorter prompt and fewer caches. The tokens are at most `longest`.
  void measure(Engine& engine, const std::string& where, unsigned seed, bool few, std::int64_t longest = 90);

  // For an engine whose sums depend on how many rows a call has (EngineInfo::one_order): the same calls, once
  // more and beside other sequences.
  void measure_calls(Engine& engine, const std::string& where, unsigned seed, std::int64_t longest = 90);

  // The same tokens on engines that `open` makes for a number of threads and an instruction set, against
  // one thread of the first set; and each set by itself, in chunks and in batches.
  using Open = std::function<std::unique_ptr<Engine>(int threads, const std::string& isa)>;
  void measure_engines(const Open& open, const std::vector<int>& threads,
                       const std::vector<std::string>& isas, const std::string& where, unsigned seed);

  // For an engine that gives nothing but the last token's logits [1, vocab], f32, of a prefill and single
  // steps into an empty cache (`split` has their lengths): cached and uncached.
  using LastLogits =
      std::function<Tensor(std::span<const TokenId> tokens, const std::vector<std::int64_t>& split)>;
  void measure_last(const LastLogits& last, std::int64_t vocab, const std::string& where, unsigned seed,
                    std::int64_t longest = 90);

  // In the order in which they were first measured.
  const std::vector<Invariance>& rows() const { return rows_; }
  const Refusals& refusals() const { return refusals_; }

 private:
  struct Run;
  void cached_is_uncached(Run& run);
  void chunks_are_whole(Run& run);
  LogitRows feed_beside_others(Run& run, const std::vector<std::int64_t>& split, std::int64_t& sequences);
  void batched_is_alone(Run& run);
  void caches_are_alike(Run& run);
  void cropped_is_never_extended(Run& run);
  void fork_goes_on_alone(Run& run);
  void compare(const std::string& name, const std::string& where, const LogitRows& actual,
               const Tensor& expected, std::int64_t first_row = 0);
  Invariance& row(const std::string& name);

  std::vector<Invariance> rows_;
  Refusals refusals_;
};

}  // namespace plumbline::phases
