// How small an error is caught: right outputs, changed by a known factor, and judged.
#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "tests/mutants/trial.h"

namespace plumbline::mutants {
namespace {

constexpr int kLowest = -30, kHighest = 8;  // exponents tried
constexpr int kElements = 12;               // tried one by one, of each tensor and seed

// One op of one kind each; the lengths of sums are the shape's.
const std::vector<OpSite>& sites() {
  using enum Probe;
  static const std::vector<OpSite> list = {
      {inv_freq, -1}, {cos, -1},      {sin, -1},    {embed_tokens, -1}, {input_layernorm, 0},
      {q_proj, 0},    {q_rope, 0},    {k_rope, 0},  {past_key, 0},      {past_value, 0},
      {scores, 0},    {probs, 0},     {context, 0}, {o_proj, 0},        {attn_residual, 0},
      {act, 0},       {down_proj, 0}, {norm, -1},   {lm_head, -1},
  };
  return list;
}

// A right output and all that it takes to judge it again when it has been changed.
struct Exhibit {
  Tensor output;
  Replay replay;
  OpClass op;
  const Tolerance& tolerance;

  bool caught(const Tensor& changed) const {
    return compare_op(changed.view(), replay, tolerance, op, 0).verdict == Verdict::failed;
  }
  bool counts(std::int64_t i) const {
    const bool allowed =
        replay.allowed.empty() || replay.allowed.values<std::uint8_t>()[static_cast<std::size_t>(i)] != 0;
    return allowed && std::as_const(output).values<float>()[static_cast<std::size_t>(i)] != 0;
  }
  bool one_caught(std::int64_t i, int exponent) const {
    Tensor changed = output;
    changed.values<float>()[static_cast<std::size_t>(i)] *= 1.0f + std::ldexp(1.0f, exponent);
    return caught(changed);
  }
  bool all_caught(int exponent) const {
    Tensor changed = output;
    for (float& value : changed.values<float>()) value *= 1.0f + std::ldexp(1.0f, exponent);
    return caught(changed);
  }
};

// The smallest exponent that is caught, kHighest + 1 where none is.
template <typename Caught>
int floor_of(Caught caught) {
  int below = kLowest - 1, at = kHighest + 1;  // not caught, caught
  while (at - below > 1) {
    const int middle = below + (at - below) / 2;
    (caught(middle) ? at : below) = middle;
  }
  return at;
}

struct Found {
  std::vector<int> one;
  int all = kLowest;
};

void search(const Exhibit& exhibit, std::mt19937& random, Found& found) {
  const auto elements = static_cast<std::uint32_t>(exhibit.output.elements());
  for (int tried = 0, left = 40 * kElements; tried < kElements && left > 0; --left) {
    const std::int64_t i = random() % elements;
    if (!exhibit.counts(i)) continue;
    found.one.push_back(floor_of([&](int exponent) { return exhibit.one_caught(i, exponent); }));
    ++tried;
  }
  found.all = std::max(found.all, floor_of([&](int exponent) { return exhibit.all_caught(exponent); }));
}

std::vector<Architecture> shapes(bool large) {
  std::vector<Architecture> list(1);
  Architecture& small = list[0];
  small.hidden = 64;
  small.intermediate = 128;
  small.head_dim = 16;
  small.layers = 1;
  if (!large) return list;
  list.push_back(small);
  list[1].hidden = 896;
  list[1].intermediate = 4864;
  list[1].heads = 14;
  list[1].head_dim = 64;
  return list;
}

std::vector<Floor> floors_of(const Architecture& architecture, const Tolerances& tolerances, int seeds) {
  std::vector<Found> found(sites().size());
  std::vector<OpClass> classes(sites().size());
  for (unsigned seed = 1; seed <= static_cast<unsigned>(seeds); ++seed) {
    const Checkpoint checkpoint = random_checkpoint(architecture, Weights::ordinary, 500 + seed);
    const Stage stage(checkpoint);
    const Trace trace = Forward(checkpoint, 1, 24).run({prompt(some_tokens(24, architecture.vocab, seed))});
    const TraceStepView step(trace, 0);
    std::mt19937 random(seed);
    for (std::size_t i = 0; i < sites().size(); ++i) {
      const OpSite site = sites()[i];
      std::string why;
      std::optional<Replay> replay = stage.replayer().replay(site, step, DType::f32, why);
      require(replay.has_value(), "trial: no replay of " + site_name(site));
      classes[i] = stage.replayer().judged_as(site, step);
      const Tolerance& tolerance = tolerances.op(classes[i], DType::f32, DeviceKind::cpu);
      search({trace.steps[0].tensors.at(site), std::move(*replay), classes[i], tolerance}, random, found[i]);
    }
  }
  std::vector<Floor> floors;
  for (std::size_t i = 0; i < sites().size(); ++i) {
    std::vector<int>& one = found[i].one;
    require(!one.empty(), "trial: nothing to change in " + site_name(sites()[i]));
    std::sort(one.begin(), one.end());
    Floor floor;
    floor.op = op_class_name(classes[i]);
    floor.site = probe_spec(sites()[i].probe).name;
    floor.shape = fmt::format("hidden {}, intermediate {}", architecture.hidden, architecture.intermediate);
    floor.elements = static_cast<int>(one.size());
    floor.one_median = one[one.size() / 2];
    floor.one_worst = one.back();
    floor.all = found[i].all;
    floors.push_back(floor);
  }
  return floors;
}

}  // namespace

std::vector<Floor> find_floors(const Tolerances& tolerances, int seeds, bool large) {
  std::vector<Floor> floors;
  for (const Architecture& architecture : shapes(large)) {
    for (Floor& floor : floors_of(architecture, tolerances, seeds)) floors.push_back(std::move(floor));
  }
  return floors;
}

bool Floor::found() const {
  return one_median <= kHighest && all <= kHighest;
}

}  // namespace plumbline::mutants
