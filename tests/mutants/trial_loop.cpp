#include "tests/mutants/trial_loop.h"

#include <algorithm>
#include <exception>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/report_text.h"
#include "impl/tokenizer.h"
#include "phases/support/loop_checks.h"
#include "phases/support/loop_goldens.h"
#include "tests/mutants/native_engines.h"

namespace plumbline::mutants {
namespace {

struct LoopStage {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Tokenizer> tokenizer;
  phases::GenerationGoldens goldens;
  phases::LoopPrompts prompts;
};

LoopStage make_stage(const std::filesystem::path& fixtures, DeviceKind device) {
  const std::filesystem::path model = fixtures / "models" / "tiny";
  LoopStage stage{open_native(device, model), native::load_tokenizer(model), {}, {}};
  const auto goldens = phases::read_generation_goldens(fixtures / "goldens" / "tiny");
  if (!goldens) throw Error("no generation goldens", (fixtures / "goldens" / "tiny").string());
  stage.goldens = *goldens;
  stage.prompts.line = stage.tokenizer->encode("1 2 3 4 5");
  stage.prompts.other = stage.tokenizer->encode("The quick brown fox");
  return stage;
}

void note(LoopResult& result, const std::vector<Check>& checks) {
  for (const Check& check : checks) {
    ++result.checks;
    if (check.verdict == Verdict::passed) continue;
    // What is skipped on tiny is not proven right.
    if (result.failed++ > 0) continue;
    result.first_failed = check.what;
    result.shown_by = check.subject;
    if (check.verdict != Verdict::failed) result.shown_by += fmt::format(" {}", verdict_name(check.verdict));
    if (!check.note.empty()) result.shown_by += fmt::format(": {}", check.note);
  }
}

LoopResult try_one(const LoopStage& stage, const LoopMutation& mutation, const phases::LoopKit& kit) {
  LoopResult result;
  result.mutation = mutation;
  const auto guarded = [&](std::string_view name, const auto& run) {
    try {
      note(result, run());
    } catch (const std::exception& error) {
      Check thrown;
      thrown.what = fmt::format("{}: an exception", name);
      thrown.note = error.what();
      note(result, {thrown});
    }
  };
  for (const phases::LoopCheck& check : phases::all_loop_checks())
    guarded(check.name, [&] { return check.run(kit, stage.prompts); });
  guarded("greedy goldens", [&] { return phases::check_golden_greedy(kit, stage.goldens, 16); });
  guarded("sampled goldens", [&] { return phases::check_golden_sampled(kit, stage.goldens, 16); });
  guarded("golden turns", [&] { return phases::check_golden_turns(kit, stage.goldens, 3); });
  return result;
}

std::string cell(const std::string& text) {
  constexpr std::size_t kReadable = 120;
  return markdown_cell(text.size() > kReadable ? text.substr(0, kReadable) + "…" : text);
}

}  // namespace

std::vector<LoopResult> try_loop(const std::filesystem::path& fixtures, DeviceKind device) {
  const LoopStage stage = make_stage(fixtures, device);
  const auto plain = [&](const LoopMutation& mutation) {
    return try_one(stage, mutation, *make_plain_loop(mutation.mistake, *stage.engine, stage.tokenizer.get()));
  };
  std::vector<LoopResult> results{plain({LoopMistake::none, "no mistake", ""})};
  results.push_back(try_one(stage, {LoopMistake::none, "the native loop", ""},
                            *phases::native_loop_kit(*stage.engine, stage.tokenizer.get())));
  for (const LoopMutation& mutation : all_loop_mutations()) results.push_back(plain(mutation));
  return results;
}

std::vector<std::string> complaints_of(const std::vector<LoopResult>& results) {
  std::vector<std::string> complaints;
  for (const LoopResult& each : results) {
    const std::string& name = each.mutation.name;
    if (!each.planted()) {
      if (each.failed == 0) continue;
      complaints.push_back(fmt::format("loop, {}: '{}' fails ({})", name, each.first_failed, each.shown_by));
    } else if (!each.killed()) {
      complaints.push_back(fmt::format("loop mutant '{}' survives", name));
    } else if (!each.blamed_right()) {
      complaints.push_back(fmt::format("loop mutant '{}': '{}' fails first ({}), and it should be '{}'", name,
                                       each.first_failed, each.shown_by, each.mutation.blamed));
    }
  }
  return complaints;
}

std::string loop_section(const std::vector<LoopResult>& results) {
  std::string text =
      "## Generation loop\n\nMistakes planted in a third generation loop, with its conversations, captures "
      "and interventions, on the tiny checkpoint; the checks are phase 5's. The loop without a mistake, and "
      "the native one, must pass them all.\n\n"
      "| mistake | failed checks | the first | shown by |\n| --- | --- | --- | --- |\n";
  for (const LoopResult& each : results) {
    text += fmt::format("| {} | {} of {} | {} | {} |\n", cell(each.mutation.name), each.failed, each.checks,
                        each.first_failed.empty() ? "–" : cell(each.first_failed), cell(each.shown_by));
  }
  return text + "\n";
}

}  // namespace plumbline::mutants
