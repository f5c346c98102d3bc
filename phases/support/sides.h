// The two sides of a run, made once and shared by a suite's cases: the subject, the reference beside it,
// truth (the reference in f64), the replayer, the tokenizers, the tolerances and the goldens.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "harness/judge.h"
#include "harness/replay.h"
#include "harness/tokenizer.h"
#include "harness/tolerance.h"
#include "phases/support/goldens.h"

namespace plumbline::phases {

// The real vocabulary takes both sides about a second: where the goldens give the prompts, a suite may leave
// the tokenizers until some case asks for one. The runner has refused a broken one by then.
// A suite whose later cases want the native one has it loaded beside its first.
enum class LoadTokenizers { now, when_asked_for, native_meanwhile };

// What the subject's sums are to be. `in_one_order`: the same bits for any number of rows
// (EngineInfo::one_order), for a phase that compares bits across them: where its fastest kernels have another
// order, others take their place, and the report says so.
enum class Sums { fastest, in_one_order };

// Loads tolerances, checks them whole, and opens the checkpoint on both sides; call from prepare(). Throws
// Error.
void load_sides(LoadTokenizers tokenizers = LoadTokenizers::now, Sums sums = Sums::fastest);

Engine& subject();
// The same engine, with the same options, over another checkpoint.
std::unique_ptr<Engine> open_subject(const std::filesystem::path& model);
// The subject's engine once more, as it is by default.
std::unique_ptr<Engine> open_fastest_subject();
Engine& reference();        // in the subject's storage dtype
Engine& exact_reference();  // f64, on the weights as the file has them
Engine& truth();            // f64, on the weights as the subject stores them
const Replayer& replayer();
const Tolerances& tolerances();
const Tokenizer* native_tokenizer();     // null where the checkpoint has no tokenizer
const Tokenizer* reference_tokenizer();  // likewise
const std::optional<Goldens>& goldens();
// Whether they say what the subject must give, within the contract for f32: they are of f32 and f64 runs. In
// a half type their prompts are used, and the reference in f64 is held to them.
bool goldens_judge_subject();
// Why there is a skip or a shown figure where goldens_judge_subject() is false.
std::string why_goldens_do_not_judge();

// A prompt of a case: the goldens' own where there are any, else the case's text in the checkpoint's tokens.
struct Prompt {
  std::string name;
  std::string text;  // empty where the goldens are of ids
  std::vector<TokenId> ids;
  const GoldenPrompt* golden = nullptr;
};
std::vector<Prompt> prompts_of(const std::string& case_id);  // "3.1", "3.2"
std::vector<Prompt> all_prompts();
// The prompt of this name; where the goldens have no such prompt, the one nearest to this many tokens.
Prompt prompt_like(const std::string& name, std::size_t tokens);

// One prefill by the subject, judged op by op, with truth's own run beside it. Made once for each prompt. Of
// the traces the residual stream after each layer and the logits stay, of the subject's the keys and values
// too.
struct JudgedPrompt {
  Prompt prompt;
  Trace subject;
  Trace truth;
  Judgement judgement;
};
const JudgedPrompt& judged(const Prompt& prompt);
// Makes those of these prompts that are not there yet: short ones together, which costs little more than one.
void judge_together(const std::vector<Prompt>& prompts);

// Runs `split` forward calls over a cache of this kind (fresh), records and judges every step.
struct JudgedSteps {
  Trace subject;
  Judgement judgement;
};
JudgedSteps judge_steps(const std::vector<TokenId>& tokens, const std::vector<std::int64_t>& split,
                        CacheKind kind);
// The same over a cache of the subject's that is empty.
JudgedSteps judge_steps(const std::vector<TokenId>& tokens, const std::vector<std::int64_t>& split,
                        Cache& cache);

// Judges a trace of the subject, and tries suspects on what is wrong.
Judgement judged_and_explained(const Trace& subject, const JudgeOptions& judging = {});

// Records a judgement's checks under the current case, sets the headline, and adds the suspects of wrong ops
// as evidence, each finding once in a suite.
void record_judgement(const Judgement& judgement, const std::string& subject_name);

}  // namespace plumbline::phases
