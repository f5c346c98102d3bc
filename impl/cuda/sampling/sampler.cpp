#include "impl/cuda/sampling/sampler.h"

#include <cuda_runtime_api.h>

#include <cstring>
#include <limits>
#include <vector>

#include "harness/error.h"
#include "impl/cuda/memory.h"
#include "impl/cuda/sampling/memory.h"
#include "impl/cuda/sampling/penalties.h"
#include "impl/cuda/sampling/sampling.h"
#include "impl/rng.h"
#include "impl/sampling/emit.h"
#include "impl/sampling/penalties.h"
#include "impl/sampling/refusals.h"

namespace plumbline::native::cuda {
namespace {

constexpr int kOfLogits = 0, kOfScores = 1;  // the two censuses: before and after penalties and sinks

class DeviceSampler final : public Sampler {
 public:
  DeviceSampler(Stream stream, std::uint64_t seed) : stream_(stream), seed_(seed) {}
  TokenId sample(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) override;
  bool takes_device_logits() const override { return true; }

 private:
  // One call of sample(): what is refused is known when the device's result is, and is asked for no earlier
  // than somebody must not see a later stage otherwise.
  struct Turn {
    const SamplingStep& step;
    const SamplingParams& params;
    ProbeSink& sink;
    bool greedy;
    Tensor gathered{};                          // logits of the host that did not lie side by side
    int censuses = 0;                           // that were taken
    const char* where[2] = {nullptr, nullptr};  // of each census: for its errors; null once it was looked at
    bool scaled = false;                        // by the temperature, and not looked at yet
    int sums = 0;                               // which sums are those of the scores as they are
  };

  TokenId choose(Turn& turn);
  TokenId choose_by_chance(Turn& turn);
  void take(Turn& turn);
  void penalize_scores(Turn& turn);
  void count_again(Turn& turn, int census, const char* where);
  int next_sums(Turn& turn) const { return turn.sums = 1 - turn.sums; }

  // Whether the sink has changed `values`, [vocab] f32 on the device.
  bool show(Turn& turn, Probe probe, float* values);
  void show_filtered(Turn& turn, Probe probe);
  void refuse_unsound(Turn& turn);  // waits where something was not looked at yet
  DrawResult fetch(Turn& turn);     // waits; refuses

  const Stream stream_;
  const std::uint64_t seed_;
  SamplingMemory memory_;
  PenaltyList penalties_;
  PinnedBuffer result_;
  std::vector<float> shown_;  // to sinks that write
};

// An exception must not leave copies on their way from memory that its caller gives back.
class RestOnExit {
 public:
  explicit RestOnExit(Stream stream) : stream_(stream) {}
  RestOnExit(const RestOnExit&) = delete;
  RestOnExit& operator=(const RestOnExit&) = delete;
  ~RestOnExit() {
    if (!at_rest_) static_cast<void>(cudaStreamSynchronize(stream_));  // what failed has been told
  }
  void is_at_rest() { at_rest_ = true; }

 private:
  const Stream stream_;
  bool at_rest_ = false;
};

void refuse(const Census& census, const SamplingStep& step, bool infinity_allowed, const char* where) {
  const std::int64_t vocab = step.logits.elements();
  if (census.nans > 0) refuse_nans(step.row, census.nans, vocab, census.first_nan, where);
  const float largest = largest_of(census);
  if (!is_kept(largest)) refuse_all_dropped(step.row, vocab, where);
  const bool infinite = largest == std::numeric_limits<float>::infinity();
  if (infinite && !infinity_allowed) refuse_infinite(step.row, argmax_of(census), where);
}

DrawResult DeviceSampler::fetch(Turn& turn) {
  check(cudaMemcpyAsync(result_.data(), memory_.board().result, sizeof(DrawResult), cudaMemcpyDeviceToHost,
                        stream_),
        "cudaMemcpyAsync of the token");
  wait(stream_);
  DrawResult result;
  std::memcpy(&result, result_.data(), sizeof result);
  for (int i = 0; i < turn.censuses; ++i) {
    if (turn.where[i] != nullptr) refuse(result.census[i], turn.step, turn.greedy, turn.where[i]);
    turn.where[i] = nullptr;
  }
  if (turn.scaled) {
    require_finite_scores(turn.step.row, turn.params.temperature,
                          largest_of(result.census[turn.censuses - 1]));
    turn.scaled = false;
  }
  return result;
}

void DeviceSampler::refuse_unsound(Turn& turn) {
  if (turn.where[0] == nullptr && turn.where[1] == nullptr && !turn.scaled) return;
  report(stream_, memory_.board(), turn.censuses);
  fetch(turn);
}

void DeviceSampler::count_again(Turn& turn, int census, const char* where) {
  take_census(stream_, memory_.board(), census);
  turn.censuses = census + 1;
  turn.where[census] = where;
}

bool DeviceSampler::show(Turn& turn, Probe probe, float* values) {
  const ProbeId id{{probe, -1}, 0};
  const ProbeSink::Access access = turn.sink.access(id);
  if (access == ProbeSink::Access::none) return false;
  refuse_unsound(turn);
  const std::int64_t vocab = memory_.board().vocab;
  if (access == ProbeSink::Access::read) {
    turn.sink.receive(id, TensorView(values, DType::f32, {vocab}, Device{DeviceKind::cuda, 0}));
    return false;
  }
  shown_.resize(static_cast<std::size_t>(vocab));
  const std::size_t bytes = shown_.size() * sizeof(float);
  copy_to_host(stream_, shown_.data(), values, bytes);
  turn.sink.modify(id, MutableTensorView(shown_.data(), DType::f32, {vocab}));
  copy_to_device(stream_, values, shown_.data(), bytes);
  return true;
}

// What a sink leaves in the view is what the chain goes on with.
void DeviceSampler::show_filtered(Turn& turn, Probe probe) {
  if (!show(turn, probe, memory_.board().scores)) return;
  count_again(turn, kOfScores, kLeftBySink);
  refuse_unsound(turn);
  scale(stream_, memory_.board(), kOfScores, 1.0f, next_sums(turn));
}

void DeviceSampler::take(Turn& turn) {
  TensorView logits = turn.step.logits;
  const SamplingBoard& board = memory_.reserve(logits.elements());
  const void* on_device = logits.data;
  if (logits.device.kind == DeviceKind::cpu) {
    if (!logits.is_contiguous()) logits = (turn.gathered = copy_host(logits)).view();
    void* const uploaded = memory_.uploaded();
    const std::size_t bytes = static_cast<std::size_t>(board.vocab) * dtype_size(logits.dtype);
    check(cudaMemcpyAsync(uploaded, logits.data, bytes, cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync of the logits");
    on_device = uploaded;
  }
  require(logits.is_contiguous(), "cuda sampler: the logits are not contiguous");
  take_logits(stream_, board, logits.dtype, on_device, kOfLogits);
  turn.censuses = 1;
  turn.where[kOfLogits] = "sample";
}

void DeviceSampler::penalize_scores(Turn& turn) {
  const std::span<const PenaltyEntry> entries =
      penalties_.build(turn.step.history, turn.step.generated, turn.params, memory_.board().vocab);
  if (entries.empty()) return;
  penalize(stream_, memory_.board(), penalties_.upload(stream_), static_cast<std::int64_t>(entries.size()),
           values_of(turn.params));
}

TokenId DeviceSampler::sample(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) {
  validate(params);
  validate(step, params);
  result_.reserve(sizeof(DrawResult));
  RestOnExit rest(stream_);
  Turn turn{step, params, sink, params.temperature == 0.0};
  const TokenId token = choose(turn);
  rest.is_at_rest();
  return emit_token(sink, token);
}

TokenId DeviceSampler::choose(Turn& turn) {
  take(turn);
  const SamplingBoard& board = memory_.board();
  if (show(turn, Probe::sample_logits, board.scores)) {
    count_again(turn, kOfLogits, kLeftBySink);
    refuse_unsound(turn);
  }
  const bool penalized = Penalties::any(turn.params);
  if (penalized) penalize_scores(turn);
  if (show(turn, Probe::sample_penalized, board.scores) || penalized) {
    count_again(turn, kOfScores, "sample: after the penalties");
  }
  if (!turn.greedy) return choose_by_chance(turn);
  report(stream_, board, turn.censuses);
  return fetch(turn).token;
}

TokenId DeviceSampler::choose_by_chance(Turn& turn) {
  const SamplingBoard& board = memory_.board();
  const SamplingParams& params = turn.params;
  turn.scaled = true;
  scale(stream_, board, turn.censuses - 1, static_cast<float>(params.temperature), next_sums(turn));
  show_filtered(turn, Probe::sample_scaled);
  if (params.top_k > 0 && params.top_k < board.vocab) top_k(stream_, board, params.top_k, next_sums(turn));
  show_filtered(turn, Probe::sample_top_k);
  if (params.top_p < 1.0) top_p(stream_, board, params.top_p, next_sums(turn));
  show_filtered(turn, Probe::sample_top_p);
  if (params.min_p > 0.0) {
    const int before = turn.sums;
    min_p(stream_, board, params.min_p, before, next_sums(turn));
  }
  show_filtered(turn, Probe::sample_min_p);
  const int of_weights = turn.sums;
  softmax(stream_, board, of_weights, next_sums(turn));
  if (show(turn, Probe::sample_probs, board.probabilities)) sum_probabilities(stream_, board, turn.sums);
  double noise = turn.step.uniform ? *turn.step.uniform : uniform(seed_, turn.step.row, turn.step.step);
  if (wanted(turn.sink, Probe::sample_noise)) {
    refuse_unsound(turn);
    noise = emit_noise(turn.sink, noise);
  }
  draw(stream_, board, turn.sums, noise, turn.censuses);
  const TokenId token = fetch(turn).token;
  require(token >= 0, "draw: no token has a probability");
  return token;
}

}  // namespace

std::shared_ptr<Sampler> make_device_sampler(Stream stream, std::uint64_t seed) {
  return std::make_shared<DeviceSampler>(stream, seed);
}

}  // namespace plumbline::native::cuda
