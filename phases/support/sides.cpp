#include "phases/support/sides.h"

#include <algorithm>
#include <map>

#include "harness/explain.h"
#include "impl/cpu/engine.h"
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
  std::unique_ptr<Engine> subject;
  std::unique_ptr<Engine> reference;
  std::unique_ptr<Engine> truth;
  std::unique_ptr<Replayer> replayer;
  std::unique_ptr<Tokenizer> native_tokenizer;
  std::unique_ptr<Tokenizer> reference_tokenizer;
  std::optional<Goldens> goldens;
  std::map<std::string, JudgedPrompt> judged;  // by prompt name
};

Sides& sides() {
  static Sides instance;
  return instance;
}

std::unique_ptr<Engine> make_subject(const SuiteOptions& run) {
  if (run.engine == "cuda") return native::make_cuda_engine(run.model);
  native::CpuOptions cpu;
  cpu.threads = run.threads;
  cpu.isa = run.isa;
  cpu.storage = run.dtype;
  return native::make_cpu_engine(run.model, cpu);
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
    if (sides().reference_tokenizer) {
      prompt.ids = sides().reference_tokenizer->encode(text.text);
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

void note_environment() {
  const EngineInfo& info = subject().info();
  add_environment("subject", info.name);
  add_environment("device", device_name(info.device));
  add_environment("instruction set", info.isa);
  add_environment("threads", std::to_string(info.threads));
  add_environment("storage dtype", std::string(dtype_name(info.storage)));
  add_environment("weight hash", subject().weight_hash());
}

}  // namespace

void load_sides() {
  const SuiteOptions& run = options();
  Sides& made = sides();
  made.tolerances = Tolerances::load(run.tolerances);
  made.tolerances.require_complete(run.dtype, run.engine == "cuda" ? DeviceKind::cuda : DeviceKind::cpu);
  made.subject = make_subject(run);
  if (std::filesystem::exists(run.model / "tokenizer.json")) {
    made.native_tokenizer = native::load_tokenizer(run.model);
    made.reference_tokenizer = reference::load_tokenizer(run.model);
  } else {
    add_assumption("the checkpoint has no tokenizer.json: prompts are arbitrary token ids");
  }
  made.goldens = find_goldens(run.fixtures, made.subject->weight_hash());
  if (made.goldens) {
    add_environment("goldens", made.goldens->directory.lexically_relative(run.fixtures).generic_string());
  } else {
    add_assumption("fixtures/goldens has nothing for these weights: held against the reference alone");
  }
  note_environment();
}

Engine& subject() {
  return *sides().subject;
}
// The reference's engines are made when a case first needs them: a large model's weights lie in memory once
// for each.
Engine& reference() {
  if (!sides().reference) sides().reference = reference::make_engine(options().model, {DType::f32, 1});
  return *sides().reference;
}
Engine& truth() {
  if (!sides().truth) sides().truth = reference::make_engine(options().model, {DType::f64, 1});
  return *sides().truth;
}
const Replayer& replayer() {
  if (!sides().replayer) sides().replayer = reference::make_replayer(options().model, options().dtype);
  return *sides().replayer;
}
const Tolerances& tolerances() {
  return sides().tolerances;
}
const Tokenizer* native_tokenizer() {
  return sides().native_tokenizer.get();
}
const Tokenizer* reference_tokenizer() {
  return sides().reference_tokenizer.get();
}
const std::optional<Goldens>& goldens() {
  return sides().goldens;
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

const JudgedPrompt& judged(const Prompt& prompt) {
  auto& made = sides().judged;
  if (const auto found = made.find(prompt.name); found != made.end()) return found->second;
  const ProbeFilter accumulated({"*mlp_residual", "lm_head"});
  JudgedPrompt entry{
      prompt, record_prefill(subject(), prompt.ids), record_prefill(truth(), prompt.ids, accumulated), {}};
  JudgeOptions with_truth;
  with_truth.truth = &entry.truth;
  entry.judgement = judge(entry.subject, replayer(), tolerances(), with_truth);
  // Judged, the rest of the trace is of no more use, and a large model's is gigabytes.
  const ProbeFilter kept({"*mlp_residual", "lm_head", "*k_rope", "*v_proj"});
  for (TraceStep& step : entry.subject.steps) {
    std::erase_if(step.tensors, [&](const auto& tensor) { return !kept.matches(tensor.first); });
  }
  return made.emplace(prompt.name, std::move(entry)).first->second;
}

JudgedSteps judge_steps(const std::vector<TokenId>& tokens, const std::vector<std::int64_t>& split,
                        CacheKind kind) {
  const auto length = static_cast<std::int64_t>(tokens.size());
  const std::unique_ptr<Cache> cache = subject().make_cache({kind, 1, length, subject().info().storage});
  JudgedSteps steps;
  steps.subject = record_steps(subject(), *cache, tokens, split);
  steps.judgement = judge(steps.subject, replayer(), tolerances());
  return steps;
}

void record_judgement(const Judgement& judgement, const std::string& subject_name) {
  if (const std::string sentence = headline(judgement); !sentence.empty()) set_headline(sentence);
  record_all(to_checks(judgement, subject_name));
}

}  // namespace plumbline::phases
