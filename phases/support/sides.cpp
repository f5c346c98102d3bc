#include "phases/support/sides.h"

#include <algorithm>
#include <future>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/explain.h"
#include "impl/cpu/engine.h"
#include "impl/cuda/description.h"
#include "impl/cuda/engine.h"
#include "impl/tokenizer.h"
#include "phases/support/suite.h"
#include "reference/engine.h"
#include "reference/replay.h"
#include "reference/tokenizer.h"

namespace plumbline::phases {
namespace {

struct Sides {
  Tolerances tolerances;
  Sums sums = Sums::fastest;
  std::unique_ptr<Engine> subject;
  std::unique_ptr<Engine> reference;
  std::unique_ptr<Engine> exact;
  reference::Referee referee;
  std::unique_ptr<Tokenizer> native_tokenizer;
  std::future<std::unique_ptr<Tokenizer>> native_tokenizer_coming;
  std::unique_ptr<Tokenizer> reference_tokenizer;
  std::optional<Goldens> goldens;
  std::map<std::string, JudgedPrompt> judged;  // by prompt name
  std::optional<Explainer> explainer;
  std::set<std::string> suspects_shown;  // findings that some case has told of
};

Sides& sides() {
  static Sides instance;
  return instance;
}

std::unique_ptr<Engine> make_subject(const SuiteOptions& run, const std::filesystem::path& model, Sums sums) {
  if (run.engine == "cuda") {
    native::CudaOptions cuda;
    cuda.storage = run.dtype;
    if (sums == Sums::in_one_order) cuda.matmul = native::CudaMatmul::own;
    return native::make_cuda_engine(model, cuda);
  }
  native::CpuOptions cpu;
  cpu.threads = run.threads;
  cpu.isa = run.isa;
  cpu.storage = run.dtype;
  return native::make_cpu_engine(model, cpu);
}

// What the cases ask for where a checkpoint has no goldens.
struct CaseText {
  const char* name;
  const char* case_id;
  const char* text;
};
constexpr CaseText kTexts[] = {
    {"hello", "3.1", "Hello"},
    {"the", "3.1", "The"},
    {"digits", "3.1", "123"},
    {"hello_world", "3.2", "Hello world"},
    {"quick_brown", "3.2", "The quick brown"},
    {"count", "3.2", "1 2 3 4 5"},
    {"prose", "3.2",
     "The little cat lived in a house by the river. One day it found a red ball, and carried it to Anna, who "
     "had lost "
     "it the day before."},
    {"chat", "3.2",
     "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nCount from 95 to 105, "
     "please: "
     "95, 96, 97...<|im_end|>\n<|im_start|>assistant\n"},
};

std::vector<Prompt> make_prompts(const std::string& case_id) {
  std::vector<Prompt> prompts;
  if (sides().goldens) {
    for (const GoldenPrompt& golden : sides().goldens->prompts) {
      if (case_id.empty() || golden.case_id == case_id) {
        prompts.push_back({golden.name, golden.text, golden.ids, &golden});
      }
    }
    return prompts;
  }
  for (const CaseText& text : kTexts) {
    if (!case_id.empty() && case_id != text.case_id) continue;
    Prompt prompt{text.name, text.text, {}, nullptr};
    if (reference_tokenizer() != nullptr) {
      prompt.ids = reference_tokenizer()->encode(text.text);
    } else {
      // Without a tokenizer any ids will do: spread over the vocabulary, as many as the text has letters.
      const std::int64_t vocab = sides().subject->config().vocab_size;
      for (std::size_t i = 0; i < prompt.text.size(); ++i) {
        prompt.ids.push_back(static_cast<TokenId>((static_cast<std::int64_t>(i) * 7919 + 13) % vocab));
      }
    }
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

bool has_tokenizer() {
  return std::filesystem::exists(options().model / "tokenizer.json");
}

// Side by side: of the real vocabulary each takes most of a second.
void load_tokenizers() {
  auto other = std::async(std::launch::async, [] { reference_tokenizer(); });
  native_tokenizer();
  other.get();
}

void note_environment() {
  const EngineInfo& info = subject().info();
  add_environment("subject", info.name);
  add_environment("device", device_name(info.device));
  add_environment("instruction set", info.isa);
  add_environment("threads", std::to_string(info.threads));
  add_environment("storage dtype", std::string(dtype_name(info.storage)));
  add_environment("weight hash", subject().weight_hash());
  if (info.device.kind != DeviceKind::cuda) return;
  for (auto& [name, value] : native::cuda_description()) add_environment(name, value);
}

}  // namespace

void load_sides(LoadTokenizers tokenizers, Sums sums) {
  const SuiteOptions& run = options();
  Sides& made = sides();
  made.tolerances = Tolerances::load(run.tolerances);
  const DeviceKind device = run.engine == "cuda" ? DeviceKind::cuda : DeviceKind::cpu;
  made.tolerances.require_complete(run.dtype, device);
  if (std::string told = made.tolerances.unmeasured(run.dtype, device); !told.empty()) {
    add_assumption(std::move(told));
  }
  made.sums = sums;
  made.subject = make_subject(run, run.model, sums);
  if (run.engine == "cuda" && run.dtype != DType::f32 && sums == Sums::in_one_order) {
    add_assumption(
        "bits are compared across numbers of rows here, on which cuBLASLt's sums depend: the cuda engine's "
        "own "
        "kernels take its place");
  }
  made.goldens = find_goldens(run.fixtures, made.subject->weight_hash());
  if (!has_tokenizer()) {
    add_assumption(made.goldens ? "the checkpoint has no tokenizer.json: prompts are the goldens' token ids"
                                : "the checkpoint has no tokenizer.json: prompts are arbitrary token ids");
  } else if (!made.goldens || tokenizers == LoadTokenizers::now) {
    load_tokenizers();
  } else if (tokenizers == LoadTokenizers::native_meanwhile) {
    made.native_tokenizer_coming =
        std::async(std::launch::async, [model = run.model] { return native::load_tokenizer(model); });
  }
  if (made.goldens) {
    add_environment("goldens", made.goldens->directory.lexically_relative(run.fixtures).generic_string());
  } else {
    add_assumption("fixtures/goldens has nothing for these weights: held against the reference alone");
  }
  note_environment();
}

std::unique_ptr<Engine> open_subject(const std::filesystem::path& model) {
  return make_subject(options(), model, sides().sums);
}
std::unique_ptr<Engine> open_fastest_subject() {
  return make_subject(options(), options().model, Sums::fastest);
}

Engine& subject() {
  return *sides().subject;
}
// The reference's sides read their weights when a case first needs them: a large model's lie in memory once
// for each.
static reference::Referee& referee() {
  reference::Referee& made = sides().referee;
  if (!made.truth) made = reference::make_referee(options().model, options().dtype);
  return made;
}
Engine& reference() {
  if (!sides().reference) sides().reference = reference::make_engine(options().model, {options().dtype, 1});
  return *sides().reference;
}
Engine& exact_reference() {
  if (!sides().exact) sides().exact = reference::make_engine(options().model, {DType::f64, 1});
  return *sides().exact;
}
Engine& truth() {
  return *referee().truth;
}
const Replayer& replayer() {
  return *referee().replayer;
}
const Tolerances& tolerances() {
  return sides().tolerances;
}
const Tokenizer* native_tokenizer() {
  std::unique_ptr<Tokenizer>& made = sides().native_tokenizer;
  if (sides().native_tokenizer_coming.valid()) made = sides().native_tokenizer_coming.get();
  if (!made && has_tokenizer()) made = native::load_tokenizer(options().model);
  return made.get();
}
const Tokenizer* reference_tokenizer() {
  std::unique_ptr<Tokenizer>& made = sides().reference_tokenizer;
  if (!made && has_tokenizer()) made = reference::load_tokenizer(options().model);
  return made.get();
}
const std::optional<Goldens>& goldens() {
  return sides().goldens;
}

bool goldens_judge_subject() {
  return goldens().has_value() && options().dtype == DType::f32;
}
std::string why_goldens_do_not_judge() {
  if (!goldens()) return "no goldens for these weights";
  return fmt::format("the goldens are of f32 runs, the subject stores {}", dtype_name(options().dtype));
}

std::vector<Prompt> prompts_of(const std::string& case_id) {
  return make_prompts(case_id);
}
std::vector<Prompt> all_prompts() {
  return make_prompts({});
}
Prompt prompt_like(const std::string& name, std::size_t tokens) {
  const std::vector<Prompt> prompts = all_prompts();
  for (const Prompt& prompt : prompts) {
    if (prompt.name == name) return prompt;
  }
  const auto distance = [tokens](const Prompt& prompt) {
    return prompt.ids.size() > tokens ? prompt.ids.size() - tokens : tokens - prompt.ids.size();
  };
  return *std::min_element(prompts.begin(), prompts.end(),
                           [&](const Prompt& a, const Prompt& b) { return distance(a) < distance(b); });
}

static void explain(const Trace& subject, Judgement& judgement) {
  if (!sides().explainer) sides().explainer.emplace(replayer(), tolerances());
  sides().explainer->explain(subject, judgement);
}

Judgement judged_and_explained(const Trace& subject, const JudgeOptions& judging) {
  Judgement judgement = judge(subject, replayer(), tolerances(), judging);
  explain(subject, judgement);
  return judgement;
}

namespace {

JudgedPrompt recorded_prompt(const Prompt& prompt) {
  const ProbeFilter accumulated({"*mlp_residual", "lm_head"});
  return {
      prompt, record_prefill(subject(), prompt.ids), record_prefill(truth(), prompt.ids, accumulated), {}};
}

// One trace of several runs of one step: each a sequence.
Trace as_sequences(std::vector<JudgedPrompt>& runs, Trace JudgedPrompt::*side) {
  Trace all;
  all.metadata = (runs.front().*side).metadata;
  for (JudgedPrompt& run : runs) {
    all.steps.push_back(std::move((run.*side).steps.at(0)));
    all.steps.back().sequence = static_cast<SequenceId>(all.steps.size() - 1);
  }
  return all;
}

void give_back(Trace all, std::vector<JudgedPrompt>& runs, Trace JudgedPrompt::*side) {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    (runs[i].*side).steps.at(0) = std::move(all.steps[i]);
    (runs[i].*side).steps[0].sequence = 0;
  }
}

// A linear layer of all of them is replayed once: its weights are most of the work where prompts are short.
void judge_runs(std::vector<JudgedPrompt>& runs) {
  Trace subjects = as_sequences(runs, &JudgedPrompt::subject);
  Trace truths = as_sequences(runs, &JudgedPrompt::truth);
  JudgeOptions with_truth;
  with_truth.truth = &truths;
  Judgement all = judge(subjects, replayer(), tolerances(), with_truth);
  give_back(std::move(subjects), runs, &JudgedPrompt::subject);
  give_back(std::move(truths), runs, &JudgedPrompt::truth);
  for (OpResult& op : all.ops) {
    JudgedPrompt& run = runs.at(static_cast<std::size_t>(op.sequence));
    op.sequence = 0;
    run.judgement.ops.push_back(std::move(op));
  }
  for (JudgedPrompt& run : runs) {
    explain(run.subject, run.judgement);
    // Judged, the rest of the trace is of no more use, and a large model's is gigabytes.
    const ProbeFilter kept({"*mlp_residual", "lm_head", "*k_rope", "*v_proj"});
    std::erase_if(run.subject.steps.at(0).tensors,
                  [&](const auto& tensor) { return !kept.matches(tensor.first); });
    std::string name = run.prompt.name;
    sides().judged.emplace(std::move(name), std::move(run));
  }
  runs.clear();
}

}  // namespace

void judge_together(const std::vector<Prompt>& prompts) {
  constexpr std::size_t kTokens = 64;  // at a time: a large model's traces must fit into memory
  std::vector<JudgedPrompt> runs;
  std::size_t tokens = 0;
  for (const Prompt& prompt : prompts) {
    const auto waits = [&](const JudgedPrompt& run) { return run.prompt.name == prompt.name; };
    if (sides().judged.contains(prompt.name) || std::ranges::any_of(runs, waits)) continue;
    if (!runs.empty() && tokens + prompt.ids.size() > kTokens) {
      judge_runs(runs);
      tokens = 0;
    }
    runs.push_back(recorded_prompt(prompt));
    tokens += prompt.ids.size();
  }
  if (!runs.empty()) judge_runs(runs);
}

const JudgedPrompt& judged(const Prompt& prompt) {
  judge_together({prompt});
  return sides().judged.at(prompt.name);
}

JudgedSteps judge_steps(const std::vector<TokenId>& tokens, const std::vector<std::int64_t>& split,
                        CacheKind kind) {
  const auto length = static_cast<std::int64_t>(tokens.size());
  const std::unique_ptr<Cache> cache = subject().make_cache({kind, 1, length, subject().info().storage});
  return judge_steps(tokens, split, *cache);
}

JudgedSteps judge_steps(const std::vector<TokenId>& tokens, const std::vector<std::int64_t>& split,
                        Cache& cache) {
  JudgedSteps steps;
  steps.subject = record_steps(subject(), cache, tokens, split);
  steps.judgement = judged_and_explained(steps.subject);
  return steps;
}

// What an earlier input has shown is not shown again.
static void add_suspects(const Judgement& judgement, const std::string& subject_name) {
  Evidence table = suspects_of_wrong_ops(judgement, &sides().suspects_shown);
  if (table.rows.empty()) return;
  table.title += ", " + subject_name;
  add_evidence(std::move(table));
}

void record_judgement(const Judgement& judgement, const std::string& subject_name) {
  if (const std::string sentence = headline(judgement); !sentence.empty()) set_headline(sentence);
  record_all(to_checks(judgement, subject_name));
  add_suspects(judgement, subject_name);
}

}  // namespace plumbline::phases
