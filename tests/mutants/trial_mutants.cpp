// Each mutant: is it killed, and is the right op blamed?
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/suspects.h"
#include "reference/replay.h"
#include "tests/mutants/trial.h"

namespace plumbline::mutants {
namespace {

constexpr unsigned kFirstSeed = 20;  // of the cases' weights

Trace run(const Case& one, const Checkpoint& checkpoint, Mistake planted, const Format& format) {
  return Forward(checkpoint, one.slots, one.capacity, planted, SumOrder::sequential, one.form, format)
      .run(one.actions);
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && a.bytes().size() == b.bytes().size() &&
         std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0;
}

bool same(const Trace& a, const Trace& b) {
  if (a.steps.size() != b.steps.size()) return false;
  for (std::size_t i = 0; i < a.steps.size(); ++i) {
    const auto& left = a.steps[i].tensors;
    const auto& right = b.steps[i].tensors;
    if (left.size() != right.size()) return false;
    const bool equal = std::equal(left.begin(), left.end(), right.begin(), [](const auto& x, const auto& y) {
      return x.first == y.first && same(x.second, y.second);
    });
    if (!equal) return false;
  }
  return true;
}

// A case ready to be run with any mistake.
struct Setting {
  const Case& one;
  Format format;
  Checkpoint checkpoint;
  Stage stage;
  Trace clean;
  Setting(const Case& what, unsigned seed, const Format& numbers)
      : one(what),
        format(numbers),
        checkpoint(random_checkpoint(what.architecture, what.weights, seed, what.dtype)),
        stage(checkpoint, numbers.storage()),
        clean(run(what, checkpoint, Mistake::none, numbers)) {}
};

std::string full_name(const OpResult& op) {
  return fmt::format("seq.{}/step.{}/{}", op.sequence, op.step, site_name(op.site));
}

std::size_t step_of(const Trace& trace, const OpResult& op) {
  const auto found = std::find_if(trace.steps.begin(), trace.steps.end(), [&](const TraceStep& step) {
    return step.sequence == op.sequence && step.step == op.step;
  });
  return static_cast<std::size_t>(found - trace.steps.begin());
}

// What the explanation of the first wrong op names.
void explain(const OpResult& first, const Trace& trace, const Setting& setting, const Tolerances& tolerances,
             MutantResult& result) {
  const TraceStepView step(trace, step_of(trace, first));
  const std::vector<SuspectFit> ranked =
      suspects_of(first.site, step, setting.stage.replayer(), tolerances, setting.format.storage(),
                  DeviceKind::cpu, tolerances.gate("forbidden_weight"));
  result.suspects = verdict_of(ranked);
  const std::string& expected = result.mutation->suspect;
  result.suspect_first = std::any_of(ranked.begin(), ranked.end(), [&](const SuspectFit& fit) {
    const bool leads = &fit == &ranked[0] || fit.tied;
    return leads && fit.fits && fit.name == expected;
  });
  result.as_shape = result.suspect_first && ranked[0].fitted;
}

bool holds(const std::vector<Probe>& probes, Probe probe) {
  return std::find(probes.begin(), probes.end(), probe) != probes.end();
}

MutantResult try_one(const Mutation& mutation, const Setting& setting, const Tolerances& tolerances) {
  MutantResult result;
  result.mutation = &mutation;
  const Trace trace = run(setting.one, setting.checkpoint, mutation.mistake, setting.format);
  result.changed = !same(trace, setting.clean);
  const Judgement judgement = judge(trace, setting.stage.replayer(), tolerances);
  const std::vector<const OpResult*> wrong = judgement.wrong();
  result.killed = !wrong.empty();
  if (wrong.empty()) return result;
  const OpResult& first = *wrong.front();
  result.first_wrong = full_name(first);
  std::set<Probe> kinds;
  for (const OpResult* op : wrong) kinds.insert(op->site.probe);
  result.blamed_right = first.site.probe == mutation.blamed;
  for (const Probe kind : kinds) {
    result.wrong_ops += (result.wrong_ops.empty() ? "" : ", ") + std::string(probe_spec(kind).name);
    const bool foretold =
        kind == mutation.blamed || holds(mutation.also, kind) || holds(mutation.perhaps, kind);
    result.blamed_right = result.blamed_right && (foretold || mutation.spreads);
  }
  for (const Probe kind : mutation.also) result.blamed_right = result.blamed_right && kinds.contains(kind);
  explain(first, trace, setting, tolerances, result);
  return result;
}

// What `one` seed more says.
void add(const MutantResult& one, MutantResult& sum) {
  const bool worse = (sum.killed && !one.killed) || (sum.blamed_right && !one.blamed_right) ||
                     (sum.suspect_first && !one.suspect_first);
  if (sum.mutation == nullptr) sum = one;
  if (worse) {
    sum.first_wrong = one.first_wrong;
    sum.wrong_ops = one.wrong_ops;
    sum.suspects = one.suspects;
  }
  sum.changed = sum.changed && one.changed;
  sum.killed = sum.killed && one.killed;
  sum.blamed_right = sum.blamed_right && one.blamed_right;
  sum.suspect_first = sum.suspect_first && one.suspect_first;
  sum.as_shape = sum.suspect_first && (sum.as_shape || one.as_shape);
}

bool asked_for(const Mutation& mutation, const std::vector<std::string>& only) {
  return only.empty() || std::find(only.begin(), only.end(), mutation.name) != only.end();
}

}  // namespace

Stage::Stage(const Checkpoint& checkpoint, DType storage) {
  write_checkpoint(checkpoint, directory_.path());
  replayer_ = reference::make_replayer(directory_.path(), storage);
}

std::vector<MutantResult> try_mutants(const Tolerances& tolerances, const std::vector<std::string>& only,
                                      int seeds, const Format& format) {
  std::vector<const Mutation*> chosen;
  const std::span<const Mutation> all =
      format.half() ? std::span<const Mutation>(mutations_in(format).mutations) : all_mutations();
  for (const Mutation& mutation : all) {
    if (asked_for(mutation, only)) chosen.push_back(&mutation);
  }
  std::vector<MutantResult> results(chosen.size());
  for (unsigned seed = kFirstSeed; seed < kFirstSeed + static_cast<unsigned>(seeds); ++seed) {
    std::map<std::string, std::unique_ptr<Setting>> settings;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      std::unique_ptr<Setting>& setting = settings[chosen[i]->case_name];
      if (setting == nullptr)
        setting = std::make_unique<Setting>(case_named(chosen[i]->case_name), seed, format);
      add(try_one(*chosen[i], *setting, tolerances), results[i]);
    }
  }
  return results;
}

Complaints try_equivalents(const Format& format) {
  Complaints complaints;
  const auto check = [&](Mistake mistake, const std::string& name, const std::string& case_name) {
    const Case& what = case_named(case_name);
    const Checkpoint checkpoint = random_checkpoint(what.architecture, what.weights, kFirstSeed, what.dtype);
    if (same(run(what, checkpoint, mistake, format), run(what, checkpoint, Mistake::none, format))) return;
    complaints.push_back(
        fmt::format("'{}' is called no mistake in {}, and changes what is recorded", name, format.name()));
  };
  if (!format.rounds_each()) {
    for (const Equivalent& one : all_equivalents()) check(one.mistake, one.name, one.case_name);
  }
  if (!format.half()) return complaints;
  for (const LeftOut& one : mutations_in(format).left_out) {
    if (one.no_bit_changes) check(one.mutation->mistake, one.mutation->name, one.mutation->case_name);
  }
  return complaints;
}

Complaints try_suspects_on_right_ops(const Tolerances& tolerances, const Format& format) {
  Complaints complaints;
  for (const Case& one : all_cases()) {
    const Setting setting(one, kFirstSeed, format);
    for (std::size_t i = 0; i < setting.clean.steps.size(); ++i) {
      const TraceStepView step(setting.clean, i);
      for (const auto& [site, tensor] : setting.clean.steps[i].tensors) {
        for (const SuspectFit& fit :
             suspects_of(site, step, setting.stage.replayer(), tolerances, format.storage(), DeviceKind::cpu,
                         tolerances.gate("forbidden_weight"))) {
          // A known mistake may not even be alike. Numbers fitted to a right output follow its roundings.
          const bool alike = fit.alike && !fit.fitted;
          if (!fit.fits && !alike && fit.trouble.empty()) continue;
          complaints.push_back(fmt::format(
              "{}, {}, step {}, {}, which is right: '{}' {}", format.name(), one.name, i, site_name(site),
              fit.name, fit.trouble.empty() ? (fit.fits ? "fits" : "is alike") : fit.trouble));
        }
      }
    }
  }
  return complaints;
}

}  // namespace plumbline::mutants
