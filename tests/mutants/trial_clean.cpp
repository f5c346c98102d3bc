// Runs of correct engines, in which nothing may be called wrong.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include <fmt/format.h>

#include "harness/tolerance_row.h"
#include "tests/mutants/native_engines.h"
#include "tests/mutants/trial.h"

namespace plumbline::mutants {
namespace {

// What one seed fixes: a checkpoint, prompts, and how they are cut.
struct Setting {
  unsigned seed = 0;
  std::string shape;
  Checkpoint checkpoint;
  std::vector<TokenId> tokens;                  // of the single sequence
  std::vector<std::int64_t> split;              // of `tokens`, into forward calls
  std::vector<std::vector<TokenId>> sequences;  // of the batch
};

struct NamedShape {
  std::string name;
  Architecture architecture;
};

std::vector<NamedShape> make_shapes() {
  std::vector<NamedShape> shapes;
  const auto add = [&](std::string name) -> Architecture& {
    shapes.push_back({std::move(name), {}});
    return shapes.back().architecture;
  };
  const auto heads = [](Architecture& a, int hidden, int query, int kv, int dim) {
    a.hidden = hidden;
    a.heads = query;
    a.kv_heads = kv;
    a.head_dim = dim;
  };
  add("small");
  heads(add("odd sizes"), 27, 4, 2, 10);
  shapes.back().architecture.intermediate = 45;
  heads(add("4 heads for each kv head"), 64, 8, 2, 8);
  heads(add("one kv head"), 30, 6, 1, 4);
  heads(add("a kv head for each head"), 33, 3, 3, 12);
  add("all layers slide").window = 5;
  Architecture& mixed = add("some layers slide");
  mixed.layers = 3;
  mixed.window = 3;
  mixed.full_layers = 2;
  Architecture& yarn = add("yarn");
  yarn.head_dim = 16;
  yarn.yarn = Yarn{4, 1024};
  Architecture& tied = add("tied, theta 1e6");
  tied.tied = true;
  tied.theta = 1e6;
  heads(add("wide"), 256, 4, 2, 64);
  shapes.back().architecture.intermediate = 1001;
  shapes.back().architecture.layers = 1;
  heads(add("0.5B widths"), 896, 14, 2, 64);
  shapes.back().architecture.intermediate = 4864;
  shapes.back().architecture.layers = 1;
  return shapes;
}

std::vector<std::int64_t> random_split(int tokens, std::mt19937& random) {
  std::vector<std::int64_t> split;
  while (tokens > 0) {
    const int part = 1 + static_cast<int>(random() % static_cast<unsigned>(tokens));
    split.push_back(part);
    tokens -= part;
  }
  return split;
}

Setting make_setting(unsigned seed, const Format& format) {
  static const std::vector<NamedShape> shapes = make_shapes();
  std::mt19937 random(seed * 7919u + 13u);
  const NamedShape& shape = shapes[seed % shapes.size()];
  const bool outliers = seed / shapes.size() % 2 == 1;
  Setting setting;
  setting.seed = seed;
  setting.shape = shape.name + (outliers ? ", outliers" : "");
  const DType file = format.half() && seed / 2 % 2 == 1 ? DType::bf16 : DType::f32;
  setting.checkpoint =
      random_checkpoint(shape.architecture, outliers ? Weights::outlier : Weights::ordinary, seed, file);
  const int length = seed % 23 == 5 ? 150 : 1 + static_cast<int>(random() % 24);
  setting.tokens = some_tokens(length, shape.architecture.vocab, seed);
  setting.split = random_split(length, random);
  for (unsigned i = 0; i < 3; ++i) {
    const int count = 1 + static_cast<int>(random() % 12);
    setting.sequences.push_back(some_tokens(count, shape.architecture.vocab, seed * 31u + i));
  }
  return setting;
}

std::vector<Action> in_chunks(const Setting& setting) {
  std::vector<Action> actions;
  auto next = setting.tokens.begin();
  for (const std::int64_t length : setting.split) {
    actions.push_back(prompt({next, next + length}));
    next += length;
  }
  return actions;
}

Action as_batch(const Setting& setting) {
  Action action;
  for (int slot = 0; slot < static_cast<int>(setting.sequences.size()); ++slot) {
    action.chunks.push_back({slot, slot, setting.sequences[static_cast<std::size_t>(slot)]});
  }
  return action;
}

Trace third(const Setting& setting, const Format& format, const std::vector<Action>& actions, int slots,
            const CacheForm& form = {}) {
  constexpr SumOrder kOrders[] = {SumOrder::sequential, SumOrder::backwards, SumOrder::four_lanes};
  return Forward(setting.checkpoint, slots, 16, Mistake::none, kOrders[setting.seed / 3 % 3], form, format)
      .run(actions);
}

constexpr DType kCacheDtypes[] = {DType::f32, DType::bf16, DType::f16};

// Room for the longest step, and less than for all: a ring, but for models with windows, which have none.
struct Room {
  int longest = 0;
  bool ring = false;
};

Room room_of(const Setting& setting) {
  const auto longest = static_cast<int>(*std::max_element(setting.split.begin(), setting.split.end()));
  return {longest, setting.checkpoint.architecture.window == 0};
}

CacheForm some_form(const Setting& setting) {
  const Room room = room_of(setting);
  CacheForm form;
  form.plain = false;
  form.dtype = kCacheDtypes[setting.seed % 3];
  form.by_head = setting.seed / 3 % 2 == 1;
  form.packed = !form.by_head && setting.seed / 6 % 2 == 1;
  form.ring = room.ring;
  form.slots = room.ring ? room.longest : static_cast<int>(setting.tokens.size());
  if (setting.seed / 2 % 2 == 1) form.prefill = static_cast<int>(setting.split[0]);
  return form;
}

enum class Kind { concat, fixed, ring };

std::string kind_name(Kind kind) {
  constexpr const char* kNames[] = {"concat", "fixed", "ring"};
  return kNames[static_cast<int>(kind)];
}

CacheSpec some_spec(const Engine& engine, const Setting& setting, Kind kind, std::int64_t sequences,
                    std::int64_t longest) {
  CacheSpec spec;
  spec.kind = kind == Kind::concat ? CacheKind::concat : CacheKind::fixed;
  spec.max_sequences = sequences;
  spec.dtype = kCacheDtypes[setting.seed / 2 % 3];
  // A device's caches are not stored in f16.
  if (engine.info().device.kind == DeviceKind::cuda && spec.dtype == DType::f16) spec.dtype = DType::bf16;
  spec.layout = static_cast<CacheLayout>(setting.seed / 3 % 3);
  spec.packing = static_cast<CachePacking>(setting.seed / 5 % 3);
  if (kind == Kind::concat) return spec;
  if (setting.seed / 2 % 2 == 1) spec.prefill_capacity = setting.split[0];
  spec.capacity = spec.prefill_capacity + longest;
  if (kind == Kind::ring) spec.when_full = WhenFull::ring;
  return spec;
}

std::vector<std::int64_t> counted(std::int64_t first, std::size_t count) {
  std::vector<std::int64_t> positions(count);
  std::iota(positions.begin(), positions.end(), first);
  return positions;
}

// All sequences in one forward call, then one more token for each.
Trace native_batch(Engine& engine, const Setting& setting, Kind kind) {
  const std::size_t count = setting.sequences.size();
  const auto cache = engine.make_cache(
      some_spec(engine, setting, kind, static_cast<std::int64_t>(count), kind == Kind::ring ? 12 : 32));
  TraceRecorder recorder(engine);
  for (int call = 0; call < 2; ++call) {
    std::vector<std::vector<std::int64_t>> positions;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t length = setting.sequences[i].size();
      positions.push_back(call == 0 ? counted(0, length) : counted(static_cast<std::int64_t>(length), 1));
    }
    std::vector<SequenceStep> steps;
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<const TokenId> all(setting.sequences[i]);
      steps.push_back(
          {static_cast<SequenceId>(i), call == 0 ? all : all.first(1), positions[i], LogitsWanted::all});
    }
    recorder.begin(steps, cache.get());
    engine.forward(steps, *cache, recorder);
  }
  return recorder.take();
}

Trace native_chunks(Engine& engine, const Setting& setting, Kind kind) {
  const auto length = static_cast<std::int64_t>(setting.tokens.size());
  const std::int64_t room = kind == Kind::ring ? room_of(setting).longest : length + 3;
  const auto cache = engine.make_cache(some_spec(engine, setting, kind, 1, room));
  return record_steps(engine, *cache, setting.tokens, setting.split);
}

// OpShare::beyond of one op.
double beyond_spacing(const TensorView& actual, const Replay& replay, double lambda) {
  const bool half = actual.dtype == DType::bf16 || actual.dtype == DType::f16;
  const auto bound = replay.bound.values<double>(), roundings = replay.roundings.values<double>();
  const auto allowed = replay.allowed.values<std::uint8_t>();
  double worst = 0;
  for (std::size_t i = 0; i < bound.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    const double y = element_as_f64(actual, index), y64 = element_as_f64(replay.expected.view(), index);
    const bool counts = allowed.empty() || allowed[i] != 0;
    if (!counts || !std::isfinite(y) || !(bound[i] > 0)) continue;
    const double spacing = half ? half_spacing(y64, actual.dtype) : 0.0;
    const double rest = std::fabs(y - y64) - spacing - (roundings.empty() ? 0.0 : roundings[i]);
    worst = std::max(worst, rest / (lambda * bound[i]));
  }
  return worst;
}

class CleanTrial {
 public:
  CleanTrial(const Tolerances& tolerances, int runs, const Format& format, DeviceKind device)
      : tolerances_(tolerances),
        wanted_(runs),
        format_(format),
        engines_(native_engines(device, format.storage())) {}

  bool done() const { return third_done() && native_done(); }
  void run(unsigned seed) {
    const Setting setting = make_setting(seed, format_);
    const Stage stage(setting.checkpoint, format_.storage());
    if (!third_done()) run_third(setting, stage);
    if (native_done()) return;
    for (std::size_t i = 0; i < engines_.size(); ++i) run_native(setting, stage, i);
  }
  CleanRuns results() const {
    CleanRuns all;
    for (const auto& [name, result] : results_) all.subjects.push_back(result);
    for (const auto& [op, share] : shares_) all.ops.push_back(share);
    return all;
  }

 private:
  // In f32 the two share the runs, in a half type each has as many; the native engine rounds once
  // per op.
  bool third_done() const { return (format_.half() ? third_ : third_ + native_) >= wanted_; }
  bool native_done() const {
    const bool none = format_.rounds_each() || engines_.empty();
    return format_.half() ? none || native_ >= wanted_ : third_done();
  }

  void run_third(const Setting& setting, const Stage& stage) {
    std::vector<Action> decode{prompt(setting.tokens)};
    for (unsigned i = 0; i < 2; ++i) decode.push_back(prompt(some_tokens(1, 60, setting.seed + i)));
    count("third forward: whole prompt, then decoded", setting, stage, third(setting, format_, decode, 1),
          third_);
    count("third forward: in chunks", setting, stage, third(setting, format_, in_chunks(setting), 1), third_);
    const CacheForm form = some_form(setting);
    count(fmt::format("third forward: {} cache in other forms, in chunks", form.ring ? "ring" : "fixed"),
          setting, stage, third(setting, format_, in_chunks(setting), 1, form), third_);
    count("third forward: padded batch", setting, stage, third(setting, format_, {as_batch(setting)}, 3),
          third_);
  }

  void run_native(const Setting& setting, const Stage& stage, std::size_t number) {
    const std::unique_ptr<Engine> engine = engines_[number].open(stage.directory());
    const std::string& name = engines_[number].name;
    const unsigned turn = setting.seed + 1 + static_cast<unsigned>(number % 2);
    const bool forgets = room_of(setting).ring && turn / 4 % 2 == 0;
    const Kind kind = turn % 2 != 0 ? Kind::concat : forgets ? Kind::ring : Kind::fixed;
    const bool batch = turn / 2 % 3 == 0;
    const Trace trace = batch ? native_batch(*engine, setting, kind) : native_chunks(*engine, setting, kind);
    count(fmt::format("{}: {} cache, {}", name, kind_name(kind), batch ? "ragged batch" : "in chunks"),
          setting, stage, trace, native_);
  }

  // `made`: third_ or native_.
  void count(const std::string& subject, const Setting& setting, const Stage& stage, const Trace& trace,
             int& made) {
    if (&made == &third_ ? third_done() : native_done()) return;
    CleanResult& result = results_[subject];
    result.subject = subject;
    ++result.runs;
    ++made;
    const Judgement judgement = judge(trace, stage.replayer(), tolerances_);
    result.ops += static_cast<std::int64_t>(judgement.ops.size());
    for (const OpResult& op : judgement.ops) {
      OpShare& worst = shares_[op.judged_as];
      worst.op = op_class_name(op.judged_as);
      ++worst.checks;
      if (op.share > worst.share) {
        worst.share = op.share;
        worst.at = fmt::format("{} (seed {}: {})", site_name(op.site), setting.seed, setting.shape);
      }
      if (op.share <= result.largest_share) continue;
      result.largest_share = op.share;
      result.largest_at = fmt::format("{} (seed {}: {})", site_name(op.site), setting.seed, setting.shape);
    }
    if (format_.half()) measure_beyond(trace, stage, judgement);
    const std::vector<const OpResult*> wrong = judgement.wrong();
    if (wrong.empty()) return;
    ++result.false_alarms;
    if (!result.first_alarm.empty()) return;
    result.first_alarm = fmt::format("seed {}, {}: {}: {} {}, share of gate {:.3g}", setting.seed,
                                     setting.shape, site_name(wrong[0]->site),
                                     verdict_name(wrong[0]->verdict), wrong[0]->reason, wrong[0]->share);
  }

  void measure_beyond(const Trace& trace, const Stage& stage, const Judgement& judgement) {
    for (std::size_t i = 0; i < trace.steps.size(); ++i) {
      const TraceStepView step(trace, i);
      for (const OpResult& op : judgement.ops) {
        if (op.sequence != trace.steps[i].sequence || op.step != trace.steps[i].step || op.exact) continue;
        OpShare& worst = shares_[op.judged_as];
        worst.differing = std::max(worst.differing, op.differing);
        std::string why;
        const auto replay = stage.replayer().replay(op.site, step, format_.storage(), why);
        const TensorView* actual = step.find(op.site);
        if (!replay || actual == nullptr || !(actual->shape == replay->expected.shape())) continue;
        const Tolerance& tolerance =
            tolerance_of(op.site, op.judged_as, step, format_.storage(), DeviceKind::cpu, tolerances_);
        worst.beyond = std::max(worst.beyond, beyond_spacing(*actual, *replay, tolerance.lambda));
      }
    }
  }

  const Tolerances& tolerances_;
  const int wanted_;
  const Format format_;
  const std::vector<NativeEngine> engines_;
  int third_ = 0, native_ = 0;  // runs
  std::map<std::string, CleanResult> results_;
  std::map<OpClass, OpShare> shares_;
};

}  // namespace

CleanRuns try_clean_runs(const Tolerances& tolerances, int runs, unsigned seed, const Format& format,
                         DeviceKind device) {
  CleanTrial trial(tolerances, runs, format, device);
  while (!trial.done()) trial.run(seed++);
  return trial.results();
}

}  // namespace plumbline::mutants
