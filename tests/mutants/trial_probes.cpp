// Small mistakes that must be seen on ordinary data at every length: single ops, judged many times.
#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "tests/mutants/trial.h"

namespace plumbline::mutants {
namespace {

constexpr int kTokens = 4;    // rows of a linear layer
constexpr int kOutputs = 64;  // and what each gives
constexpr int kQueries = 2, kHeads = 2, kHeadDim = 64;

Rows normal(std::mt19937& random, int rows, int columns) {
  Rows out(rows, columns);
  std::normal_distribution<float> draw;
  for (float& value : out.values) value = draw(random);
  return out;
}

Tensor tensor_of(const Rows& rows, Shape shape) {
  return Tensor::from(DType::f32, shape, std::span<const float>(rows.values));
}

// [heads, queries, keys]
Tensor joined(const std::vector<Rows>& squares) {
  Rows all;
  for (const Rows& square : squares)
    all.values.insert(all.values.end(), square.values.begin(), square.values.end());
  return tensor_of(all, {static_cast<std::int64_t>(squares.size()), squares[0].rows, squares[0].columns});
}

Trace trace_of_tokens(int tokens) {
  Trace trace;
  trace.metadata.engine = "mutant";
  trace.steps.emplace_back();
  trace.steps[0].given = GivenInputs{std::vector<TokenId>(static_cast<std::size_t>(tokens)),
                                     std::vector<std::int64_t>(static_cast<std::size_t>(tokens))};
  return trace;
}

// What many judgements of one op with one mistake come to.
class Tally {
 public:
  Tally(const Tolerances& tolerances, const std::string& mistake, std::string length)
      : tolerances_(tolerances) {
    result_.mistake = mistake;
    result_.length = std::move(length);
  }
  void add(const Trace& trace, OpSite site, const Stage& stage) {
    const OpResult op =
        judge_op(site, TraceStepView(trace, 0), stage.replayer(), tolerances_, DType::f32, DeviceKind::cpu);
    ++result_.seeds;
    result_.caught += op.verdict == Verdict::failed ? 1 : 0;
    require(op.verdict == Verdict::failed || op.verdict == Verdict::passed,
            "trial: a probe was not judged: " + op.reason);
    shares_.push_back(op.share);
  }
  ProbeResult result() {
    std::sort(shares_.begin(), shares_.end());
    result_.median_share = shares_.empty() ? 0 : shares_[shares_.size() / 2];
    return result_;
  }

 private:
  const Tolerances& tolerances_;
  ProbeResult result_;
  std::vector<double> shares_;
};

struct Planted {
  Mistake mistake;
  std::string name;
};

// down_proj over `depth` features: x, N(0, 1), and the weights of one seed.
void probe_linear(const Tolerances& tolerances, int depth, int seeds, std::vector<ProbeResult>& results) {
  const std::vector<Planted> planted = {{Mistake::none, "none (must not be caught)"},
                                        {Mistake::product_lost, "one product lost from every row"},
                                        {Mistake::linear_in_tf32, "TF32 inputs"}};
  std::vector<Tally> tallies;
  for (const Planted& one : planted) {
    tallies.emplace_back(tolerances, "linear: " + one.name, fmt::format("{} features", depth));
  }
  for (int seed = 0; seed < seeds; ++seed) {
    Architecture architecture;
    architecture.hidden = kOutputs;
    architecture.intermediate = depth;
    architecture.layers = 1;
    const Checkpoint checkpoint =
        random_checkpoint(architecture, Weights::ordinary, 9000u + static_cast<unsigned>(seed));
    const Stage stage(checkpoint);
    const Model model = load(checkpoint, Mistake::none);
    std::mt19937 random(static_cast<unsigned>(seed * 31 + depth));
    const Rows x = normal(random, kTokens, depth);
    for (std::size_t i = 0; i < planted.size(); ++i) {
      Trace trace = trace_of_tokens(kTokens);
      auto& tensors = trace.steps[0].tensors;
      tensors[{Probe::act, 0}] = tensor_of(x, {kTokens, depth});
      const Rows y = linear(x, model.layers[0].down, SumOrder::sequential, planted[i].mistake);
      tensors[{Probe::down_proj, 0}] = tensor_of(y, {kTokens, kOutputs});
      tallies[i].add(trace, {Probe::down_proj, 0}, stage);
    }
  }
  for (Tally& tally : tallies) results.push_back(tally.result());
}

// The last `kQueries` queries over `keys` keys: q, k and v, N(0, 1).
Trace attention_trace(int keys, unsigned seed, Mistake planted) {
  std::mt19937 random(seed);
  const Rows q = normal(random, kQueries, kHeads * kHeadDim);
  const Rows k = normal(random, keys, kHeadDim), v = normal(random, keys, kHeadDim);
  Mask mask(kQueries, keys);
  for (int t = 0; t < kQueries; ++t) {
    for (int c = 0; c <= keys - kQueries + t; ++c) mask.at(t, c) = 1;
  }
  AttentionInput in{q, mask, {}, {}};
  for (int c = 0; c < keys; ++c) in.keys.push_back({k.row(c), v.row(c)});
  in.hidden = in.heads = kHeads;
  in.kv_heads = 1;
  in.head_dim = kHeadDim;
  const Attended out = attend(in, SumOrder::sequential, planted);
  Trace trace = trace_of_tokens(keys);
  auto& tensors = trace.steps[0].tensors;
  tensors[{Probe::q_rope, 0}] = tensor_of(q, {kQueries, kHeads, kHeadDim});
  tensors[{Probe::past_key, 0}] = tensor_of(k, {keys, 1, kHeadDim});
  tensors[{Probe::scores, 0}] = joined(out.scores);
  tensors[{Probe::probs, 0}] = joined(out.probs);
  return trace;
}

void probe_attention(const Tolerances& tolerances, const Stage& stage, int keys, int seeds,
                     std::vector<ProbeResult>& results) {
  const std::vector<std::pair<Planted, Probe>> planted = {
      {{Mistake::none, "softmax: none (must not be caught)"}, Probe::probs},
      {{Mistake::key_lost_from_softmax, "softmax: one key lost"}, Probe::probs},
      {{Mistake::probs_in_bf16, "softmax: bf16 probabilities"}, Probe::probs},
      {{Mistake::none, "scores: none (must not be caught)"}, Probe::scores},
      {{Mistake::scale_off, "scores: scale 1/sqrt(d + 1)"}, Probe::scores}};
  for (const auto& [one, probe] : planted) {
    Tally tally(tolerances, one.name, fmt::format("{} keys", keys));
    for (int seed = 0; seed < seeds; ++seed) {
      tally.add(attention_trace(keys, static_cast<unsigned>(seed * 17 + keys), one.mistake), {probe, 0},
                stage);
    }
    results.push_back(tally.result());
  }
}

}  // namespace

std::vector<ProbeResult> try_probes(const Tolerances& tolerances, int seeds, bool all_lengths) {
  std::vector<ProbeResult> results;
  const std::vector<int> depths =
      all_lengths ? std::vector<int>{64, 896, 4864, 18944} : std::vector<int>{896, 18944};
  const std::vector<int> lengths =
      all_lengths ? std::vector<int>{64, 512, 4096, 18944} : std::vector<int>{512};
  for (const int depth : depths) probe_linear(tolerances, depth, seeds, results);
  Architecture architecture;
  architecture.heads = kHeads;
  architecture.kv_heads = 1;
  architecture.head_dim = kHeadDim;
  const Stage stage(random_checkpoint(architecture, Weights::ordinary, 1));
  for (const int length : lengths) probe_attention(tolerances, stage, length, seeds, results);
  return results;
}

bool ProbeResult::control() const {
  return mistake.find("none") != std::string::npos;
}

// Of the softmax's lengths a lost key is asked for up to 512: beyond, its weight may be below the rounding.
bool ProbeResult::required() const {
  return mistake != "softmax: one key lost" || length == "64 keys" || length == "512 keys";
}

}  // namespace plumbline::mutants
