// Inside of the third loop (tests/mutants/loop.h).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "tests/mutants/loop.h"
#include "tests/mutants/sampler.h"

namespace plumbline::mutants {

// A cache, and the next sequence of it that nobody has used.
struct PlainStore {
  Engine* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;
  std::unique_ptr<Cache> cache;
  std::int64_t limit = 0;  // tokens of one sequence
  SequenceId next = 0;
};

// One sequence: its tokens, of which the first `fed` went through the engine.
struct PlainSequence {
  SequenceId id = 0;
  std::vector<TokenId> tokens;
  std::size_t fed = 0;
};

// One request on its way.
struct PlainRow {
  PlainSequence* sequence = nullptr;
  const native::GenerationRequest* request = nullptr;
  native::GenerationOutput output;
  std::size_t given = 0;  // tokens of the prompt
  std::size_t first_position = 0;
  bool active = true;
  std::string waiting;  // text that may begin a stop string
  std::int64_t penalized = 0;
};

class PlainGenerator final : public phases::TestedGenerator {
 public:
  PlainGenerator(LoopMistake planted, std::shared_ptr<PlainStore> store);

  native::GenerationOutput generate(native::GenerationRequest request, native::StepSink* sink) override;
  std::vector<native::GenerationOutput> generate_batch(std::span<const native::GenerationRequest> batch,
                                                       native::StepSink* sink) override;
  std::vector<TokenId> tokens() const override { return sequence_.tokens; }
  std::unique_ptr<TestedGenerator> fork() const override;
  std::unique_ptr<phases::TestedConversation> talk(native::ConversationSettings settings) const override;

  // For the conversation: what is held becomes these tokens; what both begin with stays in the cache.
  void hold(std::vector<TokenId> tokens);
  PlainSequence& sequence() { return sequence_; }
  const PlainStore& store() const { return *store_; }
  // Feeds what is not fed, without wanting logits.
  void read(native::StepSink* sink);

 private:
  bool is(LoopMistake mistake) const { return planted_ == mistake; }
  PlainSequence take() const;
  PlainSequence copy_of(const PlainSequence& from) const;
  void cut(PlainSequence& sequence, std::size_t length) const;
  void replace(PlainSequence& sequence, std::vector<TokenId> tokens) const;
  bool take_up(PlainSequence& sequence, const native::Prompt& prompt) const;
  void run(std::vector<PlainRow>& rows, native::StepSink* sink);
  void begin(PlainRow& row) const;
  void advance(PlainRow& row, std::span<const float> logits, ProbeSink& sink);
  TokenId choose(const PlainRow& row, std::span<const float> scores, ProbeSink& sink);
  void say(PlainRow& row, TokenId token) const;
  void finish(PlainRow& row, StopReason reason) const;
  void emit(PlainRow& row, const std::string& text) const;
  std::optional<StopReason> limit_of(const PlainRow& row) const;

  LoopMistake planted_;
  std::shared_ptr<PlainStore> store_;
  std::unique_ptr<Sampler> sampler_;
  PlainSequence sequence_;
};

std::unique_ptr<phases::TestedConversation> make_plain_talk(
    LoopMistake planted, std::unique_ptr<phases::TestedGenerator> generator,
    native::ConversationSettings settings);

}  // namespace plumbline::mutants
