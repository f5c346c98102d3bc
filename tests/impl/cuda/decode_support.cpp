#include "tests/impl/cuda/decode_support.h"

#include <algorithm>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/probe.h"
#include "impl/cache/shape.h"
#include "impl/config.h"
#include "impl/cuda/cache_memory.h"
#include "impl/inverse_frequencies.h"
#include "impl/positions.h"
#include "tests/cuda_emulation/emulation.h"
#include "tests/impl/support.h"

namespace plumbline::native::cuda::testing {

using native::testing::same_bits;
using native::testing::some_tokens;

namespace {

constexpr RandomModel kModels[] = {
    {"three heads to a kv head, a window on some layers", R"({"model_type": "qwen2", "vocab_size": 97,
      "hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 3, "num_attention_heads": 6,
      "num_key_value_heads": 2, "head_dim": 8, "use_sliding_window": true, "sliding_window": 7,
      "max_window_layers": 1, "rope_theta": 10000.0})"},
    {"a head of a slice and a part, tied, long rows", R"({"model_type": "qwen2", "vocab_size": 50,
      "hidden_size": 1096, "intermediate_size": 136, "num_hidden_layers": 2, "num_attention_heads": 3,
      "num_key_value_heads": 1, "head_dim": 40, "tie_word_embeddings": true})"},
    {"the widest heads, longest rows, a window on every layer", R"({"model_type": "qwen2", "vocab_size": 33,
      "hidden_size": 24, "intermediate_size": 2312, "num_hidden_layers": 2, "num_attention_heads": 2,
      "num_key_value_heads": 2, "head_dim": 128, "use_sliding_window": true, "sliding_window": 20,
      "max_window_layers": 0})"},
};

DeviceRuns device_runs(const RunList<StoredRun>& runs) {
  DeviceRuns made{};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    made.runs[i] = {runs[i].keys, runs[i].values, runs[i].tokens, runs[i].token_stride, runs[i].head_stride};
  }
  return made;
}

// Steps of `tokens` tokens each, and what they point to.
struct Steps {
  Steps(const NativeCache& cache, std::span<const SequenceId> sequences, std::span<const TokenId> tokens,
        LogitsWanted wanted)
      : positions(sequences.size()) {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      positions[i] = position_ids(cache.length(sequences[i]), static_cast<std::int64_t>(tokens.size()));
      steps.push_back({sequences[i], tokens, positions[i], wanted});
      growth.push_back({sequences[i], static_cast<std::int64_t>(tokens.size())});
    }
  }
  std::vector<std::vector<std::int64_t>> positions;
  std::vector<SequenceStep> steps;
  std::vector<CacheGrowth> growth;
};

}  // namespace

std::span<const RandomModel> decode_models() {
  return kModels;
}

DecodeRig::DecodeRig(const std::filesystem::path& directory, DType storage)
    : storage_(storage),
      config_(load_config(directory)),
      derived_(derive(config_)),
      checkpoint_(directory),
      weights_(stream_.get(), checkpoint_, config_, storage),
      inv_freq_(inverse_frequencies(config_)),
      sites_(forward_sites(static_cast<int>(config_.num_hidden_layers), false)),
      memory_(make_cache_memory(stream_.get())) {
  logits_.reserve(static_cast<std::size_t>(config_.vocab_size) * sizeof(float), "logits");
}

std::unique_ptr<NativeCache> DecodeRig::make_cache(const CacheSpec& spec) const {
  return make_native_cache(spec, cache_shape(config_), number_, memory_);
}

std::vector<float> DecodeRig::separate(NativeCache& cache, std::span<const TokenId> tokens,
                                       SequenceId sequence) {
  const Steps steps(cache, {&sequence, 1}, tokens, LogitsWanted::last);
  const Batch batch = make_batch(steps.steps, cache, config_.vocab_size);
  CacheTransaction transaction(cache, steps.growth);
  NullSink nothing;
  forward({config_, derived_, weights_, inv_freq_, storage_, sites_},
          {stream_.get(), workspace_, forward_tables_, nullptr, nullptr, nullptr}, batch, cache, nothing);
  transaction.commit();
  std::vector<float> logits(static_cast<std::size_t>(config_.vocab_size));
  copy_to_host(stream_.get(), logits.data(), workspace_.logits.data(), logits.size() * sizeof(float));
  return logits;
}

Tables DecodeRig::fill_tables(const Batch& batch, NativeCache& cache) {
  const auto steps = static_cast<std::int64_t>(batch.steps.size());
  const auto pairs = static_cast<std::int64_t>(inv_freq_.size());
  const Tables host =
      step_tables_.host({batch.rows, batch.logit_rows, steps, config_.num_hidden_layers, 0, pairs});
  StepTables::fill(host, batch);
  std::ranges::copy(inv_freq_, host.inv_freq);
  StepRuns* runs = host.runs;
  for (int layer = 0; layer < static_cast<int>(config_.num_hidden_layers); ++layer) {
    for (const BatchStep& step : batch.steps) {
      runs->room = device_runs(cache.pending_room(layer, step.sequence));
      runs->held = device_runs(cache.pending_runs(layer, step.sequence));
      ++runs;
    }
  }
  return host;
}

std::vector<float> DecodeRig::together(const DecodeStep& step, NativeCache& cache, TokenId token,
                                       SequenceId sequence, bool wanted) {
  const Steps steps(cache, {&sequence, 1}, {&token, 1}, wanted ? LogitsWanted::last : LogitsWanted::none);
  const Batch batch = make_batch(steps.steps, cache, config_.vocab_size);
  CacheTransaction transaction(cache, steps.growth);
  const Tables host = fill_tables(batch, cache);
  const auto layers = static_cast<std::size_t>(config_.num_hidden_layers);
  REQUIRE(step.takes(batch, cache.spec().dtype, {host.runs, layers}));
  step_tables_.upload(stream_.get());
  const cuda_emulation::Counters before = cuda_emulation::counters();
  step.run(step_tables_.device(), cache.spec().dtype, wanted ? logits_.as<float>() : nullptr);
  CHECK(cuda_emulation::counters().launches == before.launches + 1);
  CHECK(cuda_emulation::counters().device_allocations == before.device_allocations);
  CHECK(cuda_emulation::counters().synchronisations == before.synchronisations);
  transaction.commit();
  wait(stream_.get());
  std::vector<float> logits(wanted ? static_cast<std::size_t>(config_.vocab_size) : 0);
  if (wanted) copy_to_host(stream_.get(), logits.data(), logits_.data(), logits.size() * sizeof(float));
  return logits;
}

bool DecodeRig::takes(const DecodeStep& step, NativeCache& cache, std::span<const SequenceId> sequences,
                      std::int64_t tokens, LogitsWanted wanted) {
  const std::vector<TokenId> ids(static_cast<std::size_t>(tokens), 1);
  const Steps steps(cache, sequences, ids, wanted);
  const Batch batch = make_batch(steps.steps, cache, config_.vocab_size);
  const CacheTransaction rolled_back(cache, steps.growth);
  const Tables host = fill_tables(batch, cache);
  return step.takes(batch, cache.spec().dtype,
                    {host.runs, static_cast<std::size_t>(config_.num_hidden_layers) * sequences.size()});
}

std::vector<float> cached(const NativeCache& cache, SequenceId sequence) {
  std::vector<float> all;
  for (int layer = 0; layer < cache.shape().layers; ++layer) {
    for (const Tensor& rows : {cache.read_key(layer, sequence), cache.read_value(layer, sequence)}) {
      const Tensor wide = to_f64(rows.view());
      for (const double value : wide.values<double>()) all.push_back(static_cast<float>(value));
    }
  }
  return all;
}

void same_both_ways(DecodeRig& rig, CacheSpec spec, std::size_t prompt, unsigned steps) {
  const auto vocab = rig.config().vocab_size;
  spec.max_sequences = 2;
  const auto cache = rig.make_cache(spec);
  const auto step = rig.make_step();
  if (prompt > 0) rig.separate(*cache, some_tokens(prompt, vocab, 1));
  cache->fork(0, 1);
  if (spec.kind == CacheKind::fixed) cache->fill_free_slots(std::numeric_limits<float>::quiet_NaN());
  for (unsigned i = 0; i < steps; ++i) {
    INFO("step " << i);
    const auto token = some_tokens(1, vocab, 2 + i);
    CHECK(same_bits(rig.together(step, *cache, token.front(), 1), rig.separate(*cache, token)));
  }
  CHECK(same_bits(cached(*cache, 1), cached(*cache, 0)));
}

}  // namespace plumbline::native::cuda::testing
