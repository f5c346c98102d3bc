#include "phases/support/long_talk.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/error.h"
#include "harness/trace.h"
#include "impl/generation/conversation.h"
#include "phases/support/loop_kit.h"
#include "phases/support/loop_oracle.h"
#include "phases/support/sides.h"
#include "phases/support/turn_texts.h"

namespace plumbline::phases {
namespace {

using Tokens = std::vector<TokenId>;

// Counts all calls; records them where they are to be judged, with what the cache held before.
class TurnSink final : public StepLog {
 public:
  TurnSink(Engine& engine, const Cache* recorded) : StepLog(engine), engine_(engine), cache_(recorded) {
    if (cache_ != nullptr) recorder_.emplace(engine);
  }
  void begin(std::span<const SequenceStep> steps) override {
    StepLog::begin(steps);
    if (!recorder_) return;
    if (initial_.key.empty()) read_cache(steps.front().sequence);
    recorder_->begin(steps, cache_);
  }
  // The sampler's probes come after the call: they are phase 4's.
  Access access(const ProbeId& id) const override {
    const bool of_call = recorder_ && !site_name(id.site).starts_with("sample.");
    return of_call ? recorder_->access(id) : Access::none;
  }
  void receive(const ProbeId& id, const TensorView& view) override { recorder_->receive(id, view); }
  Trace take() {
    Trace trace = recorder_->take();
    trace.initial[sequence_] = std::move(initial_);
    return trace;
  }

 private:
  void read_cache(SequenceId sequence) {
    sequence_ = sequence;
    for (int layer = 0; layer < engine_.config().num_hidden_layers; ++layer) {
      initial_.key[layer] = cache_->read_key(layer, sequence);
      initial_.value[layer] = cache_->read_value(layer, sequence);
    }
  }

  Engine& engine_;
  const Cache* cache_;
  std::optional<TraceRecorder> recorder_;
  InitialCache initial_;
  SequenceId sequence_ = 0;
};

TurnCost cost_of(const native::GenerationOutput& output, const StepLog& log) {
  return {static_cast<std::int64_t>(log.fed().size()), log.attention_bytes(), output.timings.to_first_token};
}

native::GeneratorSettings talk_settings() {
  native::GeneratorSettings settings;
  settings.cache = few_sequences(subject());
  settings.cache.max_sequences = 2;
  return settings;
}

std::string text_of(const TurnCost& cost) {
  return fmt::format("{} tokens, {:.0f} bytes", cost.processed, cost.attention_bytes);
}

Tensor logits_of(const SeenTokens& seen) {
  const auto vocab = subject().config().vocab_size;
  return Tensor::from<float>(DType::f32, {static_cast<std::int64_t>(seen.logits.size()) / vocab, vocab},
                             seen.logits);
}

// Of a prompt that is read with nothing cached, chunk by chunk, and answered token by token.
TurnCost counted_without(std::int64_t prompt, std::int64_t answer, std::int64_t chunk) {
  double weights = 0;
  for (std::int64_t from = 0; from < prompt; from += chunk) {
    const std::int64_t to = std::min(prompt, from + chunk);
    weights += static_cast<double>(to - from) * static_cast<double>(to);
  }
  for (std::int64_t i = 1; i < answer; ++i) weights += static_cast<double>(prompt + i);
  return {prompt + answer - 1, weights * static_cast<double>(subject().config().num_attention_heads) * 4, 0};
}

// The same answer from the whole prompt, with nothing cached.
void run_without(TalkTurn& turn, const Tokens& prompt, const GenerationOptions& options,
                 const SeenTokens& expected, const std::string& name) {
  native::Generator fresh(subject(), native_tokenizer(), talk_settings());
  SeenTokens seen;
  native::GenerationRequest request;
  request.prompt = prompt;
  request.options = options;
  request.hooks = watch(seen);
  StepLog log(subject());
  const TurnCost counted = turn.without;
  turn.without = cost_of(fresh.generate(std::move(request), &log), log);
  turn.checks.push_back(check_equal("an answer over the cache is the answer without it", name,
                                    ids_text(seen.tokens), ids_text(expected.tokens)));
  turn.checks.push_back(check_bits("and so are its logits", name, logits_of(expected), logits_of(seen)));
  turn.checks.push_back(
      check_equal("costs without the cache, as counted", name, text_of(counted), text_of(turn.without)));
}

// One text and what was seen of its answers.
class Transcript {
 public:
  void add(const SeenTokens& seen, std::int64_t prompt) { answers_.push_back({seen, prompt}); }

  // All of it computed at once, as far as there are answers.
  std::vector<Check> check(std::span<const TokenId> text) const {
    const std::unique_ptr<Cache> cache = subject().make_cache({.dtype = subject().info().storage});
    std::vector<Check> checks;
    for (std::size_t i = 0; i < answers_.size(); ++i) {
      const auto& [seen, prompt] = answers_[i];
      const auto last = prompt + static_cast<std::int64_t>(seen.tokens.size()) - 1;
      feed(*cache, text.first(static_cast<std::size_t>(prompt - 1)), LogitsWanted::none);
      const Tensor logits = feed(*cache, text.first(static_cast<std::size_t>(last)), LogitsWanted::all);
      checks.push_back(check_bits("an answer's logits are those of the whole text at once",
                                  fmt::format("turn {}", i + 1), logits_of(seen), logits));
    }
    return checks;
  }

 private:
  // What the cache does not hold of the text.
  static Tensor feed(Cache& cache, std::span<const TokenId> text, LogitsWanted wanted) {
    constexpr std::int64_t kMost = 512;
    const auto end = static_cast<std::int64_t>(text.size());
    Tensor logits;
    for (std::int64_t from = cache.length(0); from < end;) {
      const std::int64_t to = wanted == LogitsWanted::all ? end : std::min(end, from + kMost);
      std::vector<std::int64_t> positions(static_cast<std::size_t>(to - from));
      std::iota(positions.begin(), positions.end(), from);
      const SequenceStep step{0, text.subspan(static_cast<std::size_t>(from), positions.size()), positions,
                              wanted};
      NullSink nothing;
      const Logits made = subject().forward({&step, 1}, cache, nothing);
      if (wanted == LogitsWanted::all) logits = subject().to_host(made.steps.at(0));
      from = to;
    }
    return logits;
  }

  std::vector<std::pair<SeenTokens, std::int64_t>> answers_;
};

TalkTurn run_turn(native::Conversation& talk, const std::string& said, const std::string& name,
                  TurnTrial trial, Transcript& transcript) {
  TalkTurn turn;
  turn.trial = trial;
  const std::int64_t cached = talk.context().cached();
  SeenTokens seen;
  TurnSink sink(subject(), trial.judged ? &talk.context().cache() : nullptr);
  const native::ConversationOutput output = talk.say(said, watch(seen), &sink);
  turn.with = cost_of(output, sink);
  turn.held = talk.context().length();
  turn.reused = output.reused_tokens;
  turn.own = turn.held - 1 - cached;
  // No suspects are tried: over thousands of keys that takes minutes, and short texts show most mistakes.
  if (trial.judged) turn.judgement = judge(sink.take(), replayer(), tolerances());
  const auto answer = static_cast<std::int64_t>(output.tokens.size());
  turn.without = counted_without(turn.held - answer, answer, talk_settings().prefill_chunk);
  const auto tokens = talk.context().tokens();
  const Tokens prompt(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(answer));
  if (trial.without) run_without(turn, prompt, talk.settings().options, seen, name);
  transcript.add(seen, turn.held - answer);
  return turn;
}

}  // namespace

Talk run_talk(const TalkPlan& plan, const std::vector<TurnTrial>& trials) {
  native::Generator base(subject(), native_tokenizer(), talk_settings());
  base.cache_system_prompt(plan.system);
  native::ConversationSettings settings;
  settings.options.max_new_tokens = plan.answer_tokens;
  settings.options.eos_token_ids = {ChatTexts::of(native_tokenizer()).value().end()};
  native::Conversation talk(base, settings);
  Talk made;
  Transcript transcript;
  for (std::size_t i = 0; i < plan.said.size(); ++i) {
    made.turns.push_back(
        run_turn(talk, plan.said[i], fmt::format("turn {}", i + 1), trials.at(i), transcript));
  }
  made.checks = transcript.check(talk.context().tokens());
  return made;
}

}  // namespace plumbline::phases
