// One sequence on its way through the generation loop: from its prompt to the token after which it stops.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/sampling.h"
#include "impl/generation/context.h"
#include "impl/generation/request.h"
#include "impl/generation/step_logits.h"
#include "impl/generation/text_stream.h"

namespace plumbline::native {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start);

class Row {
 public:
  // `context` holds the prompt, of whose tokens the first `settled` stay whatever happens; the request is
  // valid. `tokenizer` may be null. Context and tokenizer must outlive it.
  Row(std::size_t number, Context& context, std::int64_t settled, GenerationRequest request,
      const Tokenizer* tokenizer, Clock::time_point start);

  bool active() const { return active_; }
  const Context& context() const { return *context_; }
  // The next forward call's part of it; ends the row instead where it was interrupted: then it is not active.
  SequenceStep next_step(std::int64_t most);
  // After that call, which took so many seconds: `logits` are there where the step asked for them.
  void computed(const SequenceStep& step, StepLogits& logits, double seconds, Sampler& sampler,
                ProbeSink& sink);
  // Makes the context usable after an exception: it forgets those of the prompt that were not computed.
  void abandon();
  GenerationOutput take_output();

 private:
  TokenId choose(StepLogits& logits, Sampler& sampler, ProbeSink& sink);
  TokenAction consult(TokenId token, StepLogits& logits);
  void accept(TokenId token);
  void insert(TokenId token, std::span<const TokenId> tokens);
  void require_known(TokenId token) const;
  void emit(const std::string& text);
  std::string text_of(TokenId token);
  // Whether the row ends after the token, and why.
  std::optional<StopReason> reason_to_stop(TokenId token, bool wanted) const;
  // Where it ends when nothing else ends it.
  std::optional<StopReason> limit_reached() const;
  void stop(StopReason reason);
  std::int64_t generated() const { return static_cast<std::int64_t>(output_.tokens.size()); }

  std::size_t number_;
  Context* context_;
  std::int64_t settled_;
  GenerationRequest request_;
  std::optional<TextStream> text_;
  StopStrings stop_strings_;
  Clock::time_point start_;
  std::int64_t vocab_ = 0;
  std::int64_t penalized_ = 0;  // generated since the prompt or the last insertion
  double forward_seconds_ = 0;  // since the last token
  double sampling_seconds_ = 0;
  bool active_ = true;
  std::vector<float> edited_;
  GenerationOutput output_;
};

}  // namespace plumbline::native
