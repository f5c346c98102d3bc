// A generation loop with all that is built on it, as the checks of phase 5 use it: the native one, or a third
// one with mistakes planted in it (tests/mutants/loop.h), so that both are judged by the same checks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "harness/engine.h"
#include "harness/tokenizer.h"
#include "impl/generation/conversation.h"
#include "impl/generation/intervention.h"
#include "impl/generation/request.h"
#include "impl/generation/step_sink.h"

namespace plumbline::phases {

class TestedConversation {
 public:
  virtual ~TestedConversation() = default;
  virtual native::ConversationOutput say(std::string_view text, native::GenerationHooks hooks,
                                         native::StepSink* sink) = 0;
  virtual std::vector<TokenId> tokens() const = 0;  // held, cached or not
};

// What it promises is what native::Generator promises.
class TestedGenerator {
 public:
  virtual ~TestedGenerator() = default;
  virtual native::GenerationOutput generate(native::GenerationRequest request, native::StepSink* sink) = 0;
  virtual std::vector<native::GenerationOutput> generate_batch(
      std::span<const native::GenerationRequest> batch, native::StepSink* sink) = 0;
  virtual std::vector<TokenId> tokens() const = 0;  // held, cached or not
  virtual std::unique_ptr<TestedGenerator> fork() const = 0;
  virtual std::unique_ptr<TestedConversation> talk(native::ConversationSettings settings) const = 0;
};

// A run whose activations at one probe were kept.
struct CapturedRun {
  native::GenerationOutput output;
  Tensor rows;                          // [tokens, width], in the order of the calls
  std::vector<std::int64_t> positions;  // of each row
};

class LoopKit {
 public:
  virtual ~LoopKit() = default;
  virtual Engine& engine() const = 0;
  virtual const Tokenizer* tokenizer() const = 0;  // may be null
  // With nothing cached.
  virtual std::unique_ptr<TestedGenerator> generator(const CacheSpec& spec) const = 0;
  // In a generator of its own. `site` has a row of floats for every token.
  virtual CapturedRun capture(native::GenerationRequest request, OpSite site) const = 0;
  virtual native::GenerationOutput intervene(native::GenerationRequest request,
                                             native::Intervention intervention) const = 0;
};

// Engine and tokenizer must outlive it.
std::unique_ptr<LoopKit> native_loop_kit(Engine& engine, const Tokenizer* tokenizer);

// For a few sequences, in the dtype that the engine stores.
CacheSpec few_sequences(const Engine& engine);

}  // namespace plumbline::phases
